"""The command `hardattn robustness`, and its table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.cli.commands import Command
from data.cli.options import PATH, AtLeast, Option, device_option, json_option, panel
from data.corruption_names import CORRUPTIONS, SEVERITIES
from hardattn.robustness.choices import ATTACK, EPSILON, STEPS

if TYPE_CHECKING:
    from hardattn.robustness.measure import Point, Robustness

NAMES = (*CORRUPTIONS, ATTACK)
SPLITS = ("test", "valid", "train", "design")
_IMAGES = panel(
    "Images",
    Option(
        ["--corruption", "corruptions"],
        type=click.Choice(NAMES),
        multiple=True,
        metavar="NAME",
        help=f"Of {', '.join(NAMES)}; may be repeated. [default: all of them]",
    ),
    Option(
        ["--split"], type=click.Choice(SPLITS), default="test", show_default=True, help="Of the data set."
    ),
    Option(["--images"], type=AtLeast(1), help="A fixed sample of so many. [default: all]"),
    Option(
        ["--seed"],
        type=AtLeast(0),
        default=0,
        show_default=True,
        help="Of what is drawn for each image: directions, signs, noise.",
    ),
    device_option(),
)
_ATTACK = panel(
    "Attack",
    Option(
        ["--epsilon"],
        type=AtLeast(1),
        default=EPSILON,
        show_default=True,
        help=f"Grey levels of 255 by which pgd changes a pixel at severity {SEVERITIES}; fifths of it below.",
    ),
    Option(["--steps"], type=AtLeast(1), default=STEPS, show_default=True, help="Of pgd."),
)
_OUTPUT = panel(
    "Output",
    Option(
        ["--out"], type=PATH, default=Path("robustness.png"), show_default=True, help="File of the picture."
    ),
    json_option(),
)


@click.command(cls=Command, params=[*_IMAGES, *_ATTACK, *_OUTPUT])
@click.argument("runs", metavar="RUN_DIR...", type=PATH, nargs=-1, required=True)
def robustness(runs: tuple[Path, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Says how right every RUN_DIR, a folder that `train` made, is on corrupted images, and draws it.

    Images are moved, turned, of another size, noisy, blurred or faint (by torchvision, but for noise), or
    changed against the network (pgd), at five severities. The last prediction counts.

    \b
    Examples:
      hardattn robustness runs/digits/hardattn-multiglimpse-0 runs/digits/hardattn-cnn-0
      hardattn robustness runs/digits/hardattn-ram-0 --corruption noise --corruption pgd --epsilon 20
      hardattn robustness runs/digits/hardattn-ram-0 --images 200 --json
    """
    from hardattn.loading import open_network
    from hardattn.robustness.measure import robustness
    from hardattn.robustness.pictures import draw_robustness, require_png

    require_png(out)
    for run in runs:
        open_network(run, device="cpu")  # what is no run is refused before any other is measured
    found, labels = [robustness(run, **options) for run in runs], labels_of(runs)
    draw_robustness(found, labels, out)
    if as_json:
        click.echo(json.dumps({"runs": [each.to_json() for each in found]}))
        return
    click.echo(table(found, labels))
    click.echo(f"wrote {out}")


def labels_of(runs: Sequence[Path]) -> list[str]:
    """Of each run its folder; with the one above where two would have the same.

    >>> labels_of([Path("a/run-0"), Path("b/run-0"), Path("b/run-1")])
    ['a/run-0', 'b/run-0', 'run-1']
    """
    names = [run.resolve().name for run in runs]
    return [
        f"{run.resolve().parent.name}/{name}" if names.count(name) > 1 else name
        for run, name in zip(runs, names, strict=True)
    ]


def table(found: Sequence[Robustness], labels: Sequence[str]) -> str:
    """A row for every run and corruption: accuracy in % at each severity, with the 95 % interval."""
    first, counts = found[0], dict.fromkeys(each.images for each in found)
    head = (
        f"accuracy on {', '.join(map(str, counts))} {first.split} images in %, by severity (95 % interval); "
        f"seed {first.seed}, pgd of {first.epsilon}/255 at severity {SEVERITIES}, {first.steps} steps"
    )
    wide = max(map(len, ("run", *labels)))
    columns = "".join(f"{severity:>18}" for severity in range(SEVERITIES + 1))
    return "\n".join([head, f"{'run':<{wide}}  {'corruption':<11}{columns}", *_rows(found, labels, wide)])


def _rows(found: Sequence[Robustness], labels: Sequence[str], wide: int) -> Iterator[str]:
    for run, label in zip(found, labels, strict=True):
        for name, points in run.corruptions.items():
            yield f"{label:<{wide}}  {name:<11}{''.join(map(_cell, points))}"


def _cell(point: Point) -> str:
    interval = f"({100 * point.low:.1f}-{100 * point.high:.1f})"
    return f"{100 * point.accuracy:>6.1f} {interval:<11}"
