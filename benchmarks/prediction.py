"""What stopping saves at run time: `python -m benchmarks.prediction [RUN_DIR]`.

`Model.predict` at several thresholds of one rule, by turns, so that all share what else the machine does.
Wall time per image against mean glimpses, with the line through them; and whether the answers are those of
the curve of `evaluate`, where every image is looked at T times. Without RUN_DIR a network of the digits is
trained first, for a minute.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

import hardattn
from benchmarks.figures import markdown
from benchmarks.stopwatch import machine
from data import GlimpseError, load
from data.dataset import Split
from hardattn.evaluation import looked_at
from hardattn.models import Model
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Predictions
from hardattn.stopping.stop import Stop

POINTS, GLIMPSES, MINUTES = 6, 8, 1.0


@dataclass(frozen=True)
class Timing:
    """What one threshold costs and says.

    Attributes:
        stop: rule and threshold.
        mean_glimpses: per image.
        microseconds: per image, the median of the rounds.
        share: of the time for all glimpses, the median of the rounds.
        accuracy: of the answers.
        as_on_the_curve: share of images with the same glimpses and the same class as on the curve.
        largest_difference: of any class probability from that on the curve.
    """

    stop: str
    mean_glimpses: float
    microseconds: float
    share: float
    accuracy: float
    as_on_the_curve: float
    largest_difference: float


@dataclass(frozen=True)
class Line:
    """time = start + each * glimpses, by least squares.

    Attributes:
        start, each: microseconds per image.
        explained: share of the variance of the times that is the line's.

    >>> line = Line.through([1.0, 2.0, 3.0], [11.0, 21.0, 31.0])
    >>> round(line.start, 6), round(line.each, 6), round(line.explained, 6)
    (1.0, 10.0, 1.0)
    """

    start: float
    each: float
    explained: float

    @classmethod
    def through(cls, glimpses: Sequence[float], times: Sequence[float]) -> Line:
        """The line of times at mean glimpses."""
        each, start = np.polyfit(glimpses, times, 1)
        left = np.asarray(times) - (start + each * np.asarray(glimpses))
        return cls(float(start), float(each), float(1 - left.var() / np.var(times)))


def stops_of(model: Model, rule: str, points: int = POINTS) -> list[Stop]:
    """Thresholds noted with the weights, evenly spread over mean glimpses, and all T glimpses."""
    noted = [point for point in model.run.about["stopping"] if point["rule"] == rule]
    steps = model.run.glimpsing()[1].glimpses
    marks = np.linspace(1, steps, points)[:-1]
    near = [min(noted, key=lambda point: abs(point["mean_glimpses"] - mark)) for mark in marks]
    some = dict.fromkeys(Stop(rule, point["threshold"]) for point in near)
    return [*some, hardattn.Fixed(steps)]


def tiled(split: Split, count: int) -> Tensor:
    """(count, H, W, C) images of a split, over and over."""
    return split.images[torch.arange(count) % len(split)]


def times_of(model: Model, images: Tensor, stops: Sequence[Stop], rounds: int) -> np.ndarray:
    """(R, S) seconds of each prediction, in rounds forth and back."""
    found = np.zeros((rounds, len(stops)))
    model.predict(images, stops[-1])  # warm
    for turn in range(rounds):
        order = range(len(stops)) if turn % 2 == 0 else reversed(range(len(stops)))
        for at in order:
            since = time.perf_counter()
            model.predict(images, stops[at])
            found[turn, at] = time.perf_counter() - since
    return found


def measured(model: Model, split: Split, rule: str, count: int, rounds: int) -> list[Timing]:
    """Times on `count` images, answers on those of the split."""
    stops, images = stops_of(model, rule), tiled(split, count)
    seconds = times_of(model, images, stops, rounds)
    shares = np.median(seconds / seconds[:, -1:], 0)
    seen = looked_at(model.run, split)[0].seen
    return [
        Timing(
            stop=str(stop),
            mean_glimpses=float(model.predict(images, stop).taken.mean()),
            microseconds=1e6 * float(np.median(seconds[:, at])) / count,
            share=float(shares[at]),
            **against_curve(model, split, stop, seen),
        )
        for at, stop in enumerate(stops)
    ]


def against_curve(model: Model, split: Split, stop: Stop, seen: Predictions) -> dict[str, float]:
    """How good the answers are, and how far from those of the curve, by what was predicted at T glimpses."""
    answers, wanted = model.predict(split.images, stop), RULES[stop.rule].stops(seen, stop.threshold)
    labels = wanted.log_probs.argmax(1).numpy()
    same = (answers.taken == wanted.taken.numpy()) & (answers.labels == labels)
    return {
        "accuracy": float((answers.labels == split.labels.cpu().numpy()).mean()),
        "as_on_the_curve": float(same.mean()),
        "largest_difference": float(np.abs(answers.probabilities - wanted.log_probs.exp().numpy()).max()),
    }


def report(found: Sequence[Timing], line: Line) -> str:
    """A table, and the line."""
    head = ["stop", "glimpses", "us per image", "share of the glimpses", "share of the time"]
    head += ["accuracy %", "as on the curve %"]
    rows = [
        [
            its.stop,
            f"{its.mean_glimpses:.2f}",
            f"{its.microseconds:.1f}",
            f"{its.mean_glimpses / found[-1].mean_glimpses:.2f}",
            f"{its.share:.2f}",
            f"{100 * its.accuracy:.1f}",
            f"{100 * its.as_on_the_curve:.1f}",
        ]
        for its in found
    ]
    apart = max(its.largest_difference for its in found)
    fitted = f"time = {line.start:.1f} us + {line.each:.1f} us per glimpse, which explains"
    return "\n".join(
        [
            markdown(head, rows),
            f"{fitted} {100 * line.explained:.1f} % of the variance",
            f"largest difference of a probability from the curve: {apart:.1e}",
        ]
    )


@click.command()
@click.argument("run_folder", metavar="[RUN_DIR]", type=click.Path(path_type=Path), required=False)
@click.option("--data-root", type=click.Path(path_type=Path), help="Images of the run. [default: its own]")
@click.option("--rule", type=click.Choice(list(RULES)), default="gain", show_default=True)
@click.option("--images", default=3000, show_default=True, help="Test images, over and over.")
@click.option("--rounds", default=5, show_default=True, help="Of all thresholds; medians are shown.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def main(
    run_folder: Path | None,
    data_root: Path | None,
    rule: str,
    images: int,
    rounds: int,
    device: str,
    as_json: bool,
) -> None:
    """Wall time of prediction against mean glimpses."""
    try:
        model, split = opened(run_folder, data_root, device)
        found = measured(model, split, rule, images, rounds)
    except GlimpseError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    line = Line.through([its.mean_glimpses for its in found], [its.microseconds for its in found])
    if as_json:
        facts: dict[str, Any] = {"machine": machine(model.run.network.device), "line": asdict(line)}
        click.echo(json.dumps(facts | {"points": [asdict(its) for its in found]}))
        return
    click.echo(report(found, line))


def opened(run_folder: Path | None, data_root: Path | None, device: str) -> tuple[Model, Split]:
    """The model of a run, or one of the digits that is trained now, and its test images."""
    if run_folder is None:
        digits, budget = load("digits"), hardattn.Budget(minutes=MINUTES)
        model = hardattn.train(digits, glimpses=GLIMPSES, budget=budget, device=device)
        return model, digits["test"]
    model = hardattn.load(run_folder, device=device)
    origin = {**model.run.origin, **({"data_root": str(data_root)} if data_root else {})}
    return model, load(**origin)["test"]


if __name__ == "__main__":
    main()
