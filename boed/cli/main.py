"""The command line `boed`: each command is imported when it is called."""

from __future__ import annotations

import click

from data.cli.commands import GROUP_SETTINGS, Commands
from data.version import PACKAGE, __version__

PLACES = {
    "benchmark": "boed.cli.benchmark:benchmark",
    "calibration": "boed.cli.calibration:calibration",
    "compare": "boed.cli.compare:compare",
    "finding": "boed.cli.finding:finding",
    "fit": "boed.cli.fit:fit",
    "generate": "boed.cli.generate:generate",
    "import": "boed.cli.import_:import_",
    "merge": "boed.cli.merge:merge",
    "show": "boed.cli.show:show",
}


@click.group("boed", cls=Commands, places=PLACES, context_settings=GROUP_SETTINGS)
@click.version_option(__version__, package_name=PACKAGE, message="%(package)s %(version)s")
def main() -> None:
    """Bayesian experimental design of glimpse sequences: learns approximations, designs, shows."""
