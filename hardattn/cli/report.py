"""The command `hardattn report`: parse, one call into the library, print."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from data.cli.commands import Command, command_line
from data.cli.options import PATH, Option, device_option, panel
from hardattn.report.choices import IMAGES

_SHOWN = panel(
    "What is shown",
    Option(
        ["--images"],
        default=IMAGES,
        show_default=True,
        help="Test images shown glimpse by glimpse: a fixed sample.",
    ),
    Option(["--image", "ids"], type=int, multiple=True, metavar="ID", help="This one; may be repeated."),
    device_option(),
)
_OUTPUT = panel(
    "Output",
    Option(["--out"], type=PATH, help="File of the page. [default: report.html; with --format png: report]"),
    Option(
        ["--format", "kind"],
        type=click.Choice(["html", "png"]),
        default="html",
        show_default=True,
        help="One page, or single pictures in a folder.",
    ),
)


@click.command(cls=Command, params=[*_SHOWN, *_OUTPUT])
@click.argument("runs", metavar="RUN_DIR...", type=PATH, nargs=-1, required=True)
def report(runs: tuple[Path, ...], out: Path | None, kind: str, **options: Any) -> None:
    """Shows runs that `train` made, and files that `frontier` made, in one page that opens offline.

    It has accuracy against compute, the training curves of NLL, accuracy and each term of the loss, a player
    that steps through the glimpses of test images, heat maps of where each method looks, and the figures with
    the commands that made them. A run that was not evaluated yet is evaluated. The page contains test images.

    \b
    Examples:
      hardattn report runs/digits/hardattn-ps-nogs-0 runs/digits/hardattn-ram-0
      hardattn report runs/digits/hardattn-ps-nogs-0 --image 1500 --image 1501 --out digits.html
      hardattn report runs/digits/hardattn-ps-nogs-0 --format png --out pictures
    """
    from hardattn.report.contents import collect
    from hardattn.report.page import require_file, write_page
    from hardattn.report.pictures import require_folder, write_pictures

    path = out or Path("report.html" if kind == "html" else "report")
    (require_file if kind == "html" else require_folder)(path)
    contents = collect(runs, **options)
    if kind == "html":
        made = write_page(path, contents, shlex.join(command_line() or ()))
        click.echo(f"wrote {made}; open it in a browser")
    else:
        click.echo(f"wrote {len(write_pictures(path, contents))} pictures into {path}")
