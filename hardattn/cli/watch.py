"""The command `hardattn watch`: a loop around one call into the library, and what is printed of it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data.cli.commands import Command
from data.cli.options import PATH, Option, Within, panel

if TYPE_CHECKING:
    from hardattn.watching import Look

EVERY = 5.0

_OPTIONS = panel(
    "Output",
    Option(["--once"], is_flag=True, help="Print how it is now, and end."),
    Option(
        ["--every"],
        type=Within(0.1, 3600),
        default=EVERY,
        show_default=True,
        metavar="SECONDS",
        help="Between two looks.",
    ),
)


@click.command(cls=Command, params=_OPTIONS)
@click.argument("run", metavar="RUN_DIR", type=PATH)
def watch(run: Path, once: bool, every: float) -> None:
    """Shows the learning curves of the training in RUN_DIR while it runs, and ends with it.

    Ends at once where the training is over, or nobody runs it, and says so. In a file or a pipe it is a line
    for each check of the validation images.

    \b
    Examples:
      hardattn watch runs/digits/hardattn-ps-nogs-0
      hardattn watch runs/digits/hardattn-ps-nogs-0 --once
    """
    from hardattn import watching

    if once:
        click.echo(_fitting(watching.look(run)))
        return
    screen = sys.stdout.isatty()
    said = ""
    for look in watching.watch(run, every):
        if screen:
            click.clear()
            click.echo(_fitting(look))
        elif look.newest() != said:
            said = look.newest()
            click.echo(said)
    if not screen:
        click.echo(look.state())


def _fitting(look: Look) -> str:
    """The text for the terminal that there is, in letters that it has."""
    size, encoding = shutil.get_terminal_size(), sys.stdout.encoding or "utf-8"
    text = look.text(size.columns - 1, max(3, (size.lines - 8) // 2))
    return text.encode(encoding, "replace").decode(encoding)
