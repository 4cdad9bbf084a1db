"""The command `hardattn record`: parse, one call into the library, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from data.cli.commands import Command
from data.cli.options import PATH, Option, device_option
from hardattn.cli.images_options import images_options, say_what_next
from supervision.choices import RECORDED

_OPTIONS = images_options(
    "600",
    Option(
        ["--out"],
        type=PATH,
        help=f"The store. [default: {RECORDED}.h5, or {RECORDED}-train.h5, beside RUN_DIR]",
    ),
    Option(["--data-root"], type=PATH, help="Look at the images found here. [default: as in training]"),
    device_option(),
)


@click.command(cls=Command, resumable=True, params=_OPTIONS)
@click.argument("run_folder", metavar="RUN_DIR", type=PATH)
def record(run_folder: Path, **options: Any) -> None:
    """Writes where the network of RUN_DIR looks, for another one to imitate; can be interrupted.

    \b
    Examples:
      hardattn record runs/digits/hardattn-ram-0
      hardattn train --method ps-ram --supervise
      hardattn record runs/digits/hardattn-ram-0 --split train --images all
    """
    from hardattn.recording import record

    store = record(run_folder, **options)
    say_what_next(store, "ps-ram", own=False)
