"""The command `hardattn inspect`, and its table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.cli.commands import Command
from data.cli.options import PATH, AtLeast, Option, device_option, json_option, panel
from hardattn.inspection.choices import BATCHES, FEWEST_BATCHES, FEWEST_VALUES, GLIMPSE, IMAGES, VALUES

if TYPE_CHECKING:
    from hardattn.inspection.inspect import Inspection

_SWEEPS = panel(
    "Sweeps",
    Option(["--image"], type=int, metavar="ID", help="The test image that is drawn. [default: one of them]"),
    Option(
        ["--glimpse"],
        type=AtLeast(GLIMPSE),
        default=GLIMPSE,
        show_default=True,
        help="The one that is moved, the others being held; the first is the whole image.",
    ),
    Option(
        ["--values"],
        type=AtLeast(FEWEST_VALUES),
        default=VALUES,
        show_default=True,
        help="That s, x and y take, over their range.",
    ),
    Option(
        ["--images"],
        type=AtLeast(1),
        default=IMAGES,
        show_default=True,
        help="Test images that the figures are means of: a fixed sample.",
    ),
)
_GRADIENT = panel(
    "Gradient over batches",
    Option(
        ["--batches"],
        type=AtLeast(FEWEST_BATCHES),
        default=BATCHES,
        show_default=True,
        help="Of training images, as large as in training.",
    ),
    Option(["--seed"], type=AtLeast(0), default=0, show_default=True, help="Of these batches."),
    device_option(),
)


@click.command(cls=Command, params=[*_SWEEPS, *_GRADIENT, *panel("Output", json_option())])
@click.argument("runs", metavar="RUN_DIR...", type=PATH, nargs=-1, required=True)
def inspect(runs: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Says what the gradient is worth that the localiser of every RUN_DIR learns from.

    A RUN_DIR is one of `train --method multiglimpse`. The loss of training is swept along s, x and y of one
    glimpse, and drawn into RUN_DIR with its derivative, the finite difference and what the network chose.

    \b
    Examples:
      hardattn inspect runs/digits/hardattn-multiglimpse-0
      hardattn inspect runs/digits/hardattn-multiglimpse-0 --image 1500 --glimpse 3
      hardattn inspect runs/digits/hardattn-multiglimpse-0 runs/digits/hardattn-frozen-0 --json
    """
    from hardattn.inspection.inspect import inspect_run, require_localisers
    from hardattn.inspection.pictures import draw_inspection, picture_file

    require_localisers(runs)
    found = [inspect_run(run, **options) for run in runs]
    drawn = [draw_inspection(each, picture_file(run, each)) for run, each in zip(runs, found, strict=True)]
    if as_json:
        click.echo(json.dumps({"runs": [each.to_json() for each in found]}))
        return
    click.echo(table(found))
    click.echo("wrote " + ", ".join(map(str, drawn)))


def table(inspections: Sequence[Inspection]) -> str:
    """A row for every run: sign changes, agreement in sign, the spread of the gradient."""
    first = inspections[0]
    names = [Path(each.run).name for each in inspections]
    wide = max(map(len, ("run", *names)))
    head = (
        f"glimpse {first.glimpse} of {first.images} test images, {first.values} values of s, x and y; "
        f"{first.batches} batches of training images"
    )
    groups = f"{'':<{wide}}  {'':<12} {'sign changes':>17} {'agreement, %':>17} {'gradient over batches':>22}"
    axes = "".join(f"{axis:>6}" for axis in first.sweeps)
    columns = f"{'run':<{wide}}  {'encoder':<12}{axes}{axes} {'variance':>11} {'/ mean^2':>10}"
    rows = [f"{name:<{wide}}  {_figures(each)}" for name, each in zip(names, inspections, strict=True)]
    return "\n".join([head, groups, columns, *rows])


def _figures(found: Inspection) -> str:
    changes = "".join(f"{value:>6.1f}" for value in found.sign_changes.values())
    shares = "".join(f"{100 * value:>6.1f}" for value in found.agreement.values())
    spread = f"{found.gradient_variance:>11.3g} {found.relative_variance:>10.3g}"
    return f"{found.encoder:<12}{changes}{shares} {spread}"
