"""The command `hardattn evaluate`, and its table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.cli.commands import Command
from data.cli.options import PATH, AtLeast, Name, Option, device_option, json_option, panel
from hardattn.baselines.registry import BASELINES
from hardattn.stopping.registry import RULES

if TYPE_CHECKING:
    from hardattn.evaluation import Evaluation
    from hardattn.stopping.rules import Point

SHOWN = 5  # points of a rule on its line
_AVERAGED = ("values read", "pixels read")  # where a glimpse is averaged down, so that the two differ
_IMAGES = panel(
    "Images and glimpses",
    Option(
        ["--data-root"],
        type=PATH,
        help="Evaluate the test images found here. [default: as in training]",
    ),
    Option(
        ["--trajectories"],
        type=AtLeast(1),
        default=1,
        show_default=True,
        help="Of glimpses for each image. 1 is the most likely one; of more, drawn, predictions are "
        "averaged.",
    ),
    device_option(),
)
_STOPPING = panel(
    "Stopping",
    Option(
        ["--stop"],
        type=Name(RULES),
        multiple=True,
        metavar="RULE",
        help=f"When to stop looking; may be repeated: {', '.join(RULES)}. The files then "
        "have these and fixed alone. [default: all of them]",
    ),
    Option(["--budget-glimpses"], type=float, help="Also stop each rule such that this mean is met."),
    Option(["--budget-mflops"], type=float, help="The same for the MFLOPs per image."),
)


@click.command(cls=Command, params=[*_IMAGES, *_STOPPING, *panel("Output", json_option())])
@click.argument("run_folder", metavar="RUN_DIR", type=PATH)
def evaluate(run_folder: Path, data_root: Path | None, as_json: bool, **options: Any) -> None:
    """Accuracy after each glimpse and the accuracy-compute curve of RUN_DIR, a folder that `train` made.

    Thresholds of the stopping rules, and which of them meets a budget, come from validation images.

    \b
    Examples:
      hardattn evaluate runs/digits/hardattn-ps-nogs-0
      hardattn evaluate runs/digits/hardattn-ps-nogs-0 --stop gain --budget-glimpses 2
      hardattn evaluate runs/digits/hardattn-ps-nogs-0 --trajectories 10
      hardattn evaluate runs/celebahq-Male/hardattn-ps-nogs-0 --data-root OTHER --json
      hardattn evaluate runs/digits/hardattn-act-0 --stop halting
    """
    from hardattn.evaluation import evaluate, output_files

    result = evaluate(run_folder, data_root, **options)
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    click.echo(table(result))
    click.echo("wrote {}, {} and {}".format(*output_files(run_folder, data_root)))


def table(result: Evaluation) -> str:
    """The figures for people: fixed glimpses and the predicted gain in full, every other rule on one line."""
    from data.coverage import coverage_table

    task = f"{result.dataset} {result.target}"
    several = "one trajectory" if result.trajectories == 1 else f"mean of {result.trajectories} trajectories"
    seen = "the whole image" if result.method in BASELINES else several
    head = f"{task}, {result.method}, seed {result.seed}, {result.test_images} test images, {seen}"
    counts = _AVERAGED if any(point.values_read != point.pixels_read for point in result.curve) else ()
    rows = [f"{'glimpses':>10} {'accuracy %':>11} {'NLL, nats':>10} {'MFLOPs':>8}{_cells(counts)}"]
    row = partial(_row, counts=counts)
    rows += [row(point, "") for point in result.curve if point.rule == "fixed"]
    rows += [row(p, f"stopped at a gain below {p.threshold:.4f}") for p in result.curve if p.rule == "gain"]
    rows += _lines([point for point in result.curve if point.rule not in ("fixed", "gain")])
    rows += [row(point, f"{point.rule}, within the budget") for point in result.within_budget]
    tail = (
        f"converged after {result.iterations_to_convergence} iterations, "
        f"{result.seconds_to_convergence:.0f} s of training; {result.parameters:,} parameters"
    )
    held = [coverage_table([(result.method, result.coverage)])] if result.coverage else []
    return "\n".join([head, *rows, *held, tail])


def _cells(values: Iterable[object]) -> str:
    """Columns of what is read."""
    return "".join(f" {value:>12}" for value in values)


def _row(point: Point, words: str, counts: Sequence[str]) -> str:
    figures = (
        f"{point.mean_glimpses:>10.2f} {100 * point.accuracy:>11.1f} {point.nll:>10.3f} {point.mflops:>8.2f}"
    )
    read = _cells(f"{getattr(point, name.replace(' ', '_')):.0f}" for name in counts)
    return f"{figures}{read}  {words}".rstrip()


def _lines(points: Sequence[Point]) -> Iterator[str]:
    """For each rule some of its points: accuracy in % at MFLOPs."""
    for rule in dict.fromkeys(point.rule for point in points):
        own = sorted((p for p in points if p.rule == rule), key=lambda p: p.mflops)
        some = own[:: max(1, -(-len(own) // SHOWN))]
        yield f"{rule}: " + ", ".join(f"{100 * p.accuracy:.1f} % at {p.mflops:.2f} MFLOPs" for p in some)
