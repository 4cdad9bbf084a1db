"""The command line `hardattn`: each command is imported when it is called."""

from __future__ import annotations

import click

from data.cli.commands import GROUP_SETTINGS, Commands
from data.version import PACKAGE, __version__

PLACES = {
    "benchmark": "hardattn.cli.benchmark:benchmark",
    "evaluate": "hardattn.cli.evaluate:evaluate",
    "export": "hardattn.cli.export:export",
    "frontier": "hardattn.cli.frontier:frontier",
    "inspect": "hardattn.cli.inspect:inspect",
    "parts": "hardattn.cli.parts:parts",
    "predict": "hardattn.cli.predict:predict",
    "record": "hardattn.cli.record:record",
    "report": "hardattn.cli.report:report",
    "reproduce": "hardattn.cli.reproduce:reproduce",
    "robustness": "hardattn.cli.robustness:robustness",
    "saliency": "hardattn.cli.saliency:saliency",
    "train": "hardattn.cli.train:train",
    "watch": "hardattn.cli.watch:watch",
}


@click.group("hardattn", cls=Commands, places=PLACES, context_settings=GROUP_SETTINGS)
@click.version_option(__version__, package_name=PACKAGE, message="%(package)s %(version)s")
def main() -> None:
    """Trains and evaluates hard-attention networks, with or without designed glimpse sequences."""
