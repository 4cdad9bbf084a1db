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
from collections.abc import Mapping, Sequence
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
        microseconds, cpu_microseconds: per image, by the clock and of CPU; medians of the rounds.
        share, cpu_share: of the time for the most glimpses; medians of the rounds.
        accuracy: of the answers.
        as_on_the_curve: share of images with the same glimpses and the same class as on the curve.
        largest_difference: of any class probability from that on the curve.
    """

    stop: str
    mean_glimpses: float
    microseconds: float
    cpu_microseconds: float
    share: float
    cpu_share: float
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

    def __str__(self) -> str:
        share = f"which explains {100 * self.explained:.1f} % of the variance"
        return f"{self.start:.1f} us + {self.each:.1f} us per glimpse, {share}"

    @classmethod
    def through(cls, glimpses: Sequence[float], times: Sequence[float]) -> Line:
        """The line of times at mean glimpses."""
        each, start = np.polyfit(glimpses, times, 1)
        left = np.asarray(times) - (start + each * np.asarray(glimpses))
        return cls(float(start), float(each), float(1 - left.var() / np.var(times)))


def stops_of(model: Model, rule: str, points: int = POINTS) -> list[Stop]:
    """Thresholds noted with the weights, evenly spread over mean glimpses, up to the most that there are."""
    noted = [point for point in model.run.about["stopping"] if point["rule"] == rule]
    marks = np.linspace(1, max(point["mean_glimpses"] for point in noted), points)
    near = [min(noted, key=lambda point: abs(point["mean_glimpses"] - mark)) for mark in marks]
    return list(dict.fromkeys(Stop(rule, point["threshold"]) for point in near))


def tiled(split: Split, count: int) -> Tensor:
    """(count, H, W, C) images of a split, over and over."""
    return split.images[torch.arange(count) % len(split)]


def times_of(model: Model, images: Tensor, stops: Sequence[Stop], rounds: int) -> np.ndarray:
    """(2, R, S) seconds of each prediction, by the clock and of CPU, in rounds forth and back."""
    seconds = np.zeros((2, rounds, len(stops)))
    model.predict(images, stops[-1])  # warm
    for turn in range(rounds):
        order = range(len(stops)) if turn % 2 == 0 else reversed(range(len(stops)))
        for at in order:
            since = np.array([time.perf_counter(), time.process_time()])
            model.predict(images, stops[at])
            seconds[:, turn, at] = np.array([time.perf_counter(), time.process_time()]) - since
    return seconds


def measured(model: Model, split: Split, rule: str, count: int, rounds: int) -> list[Timing]:
    """Times on `count` images, answers on those of the split."""
    stops, images = stops_of(model, rule), tiled(split, count)
    seconds = times_of(model, images, stops, rounds)
    shares, each = np.median(seconds / seconds[..., -1:], 1), 1e6 * np.median(seconds, 1) / count
    predictions = looked_at(model.run, split)[0].predictions
    return [
        Timing(
            stop=str(stop),
            mean_glimpses=float(model.predict(images, stop).taken.mean()),
            microseconds=float(each[0, at]),
            cpu_microseconds=float(each[1, at]),
            share=float(shares[0, at]),
            cpu_share=float(shares[1, at]),
            **against_curve(model, split, stop, predictions),
        )
        for at, stop in enumerate(stops)
    ]


def against_curve(model: Model, split: Split, stop: Stop, predictions: Predictions) -> dict[str, float]:
    """How good the answers are, and how far from those of the curve, by what was predicted at T glimpses."""
    answers, wanted = model.predict(split.images, stop), RULES[stop.rule].stops(predictions, stop.threshold)
    labels = wanted.log_probs.argmax(1).numpy()
    same = (answers.taken == wanted.taken.numpy()) & (answers.labels == labels)
    return {
        "accuracy": float((answers.labels == split.labels.cpu().numpy()).mean()),
        "as_on_the_curve": float(same.mean()),
        "largest_difference": float(np.abs(answers.probabilities - wanted.log_probs.exp().numpy()).max()),
    }


def report(timings: Sequence[Timing], lines: Mapping[str, Line]) -> str:
    """A table, and the lines."""
    head = ["stop", "glimpses", "us per image", "us of CPU", "share of the glimpses", "of the time"]
    head += ["of CPU", "accuracy %", "as on the curve %"]
    rows = [
        [
            its.stop,
            f"{its.mean_glimpses:.2f}",
            f"{its.microseconds:.1f}",
            f"{its.cpu_microseconds:.1f}",
            f"{its.mean_glimpses / timings[-1].mean_glimpses:.2f}",
            f"{its.share:.2f}",
            f"{its.cpu_share:.2f}",
            f"{100 * its.accuracy:.1f}",
            f"{100 * its.as_on_the_curve:.1f}",
        ]
        for its in timings
    ]
    apart = max(its.largest_difference for its in timings)
    return "\n".join(
        [
            markdown(head, rows),
            *(f"{name}: {line}" for name, line in lines.items()),
            f"largest difference of a probability from the curve: {apart:.1e}",
        ]
    )


def lines_of(timings: Sequence[Timing]) -> dict[str, Line]:
    """Of the time by the clock, and of CPU."""
    glimpses = [its.mean_glimpses for its in timings]
    return {
        "time": Line.through(glimpses, [its.microseconds for its in timings]),
        "CPU": Line.through(glimpses, [its.cpu_microseconds for its in timings]),
    }


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
        timings = measured(model, split, rule, images, rounds)
    except GlimpseError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    lines = lines_of(timings)
    if as_json:
        facts: dict[str, Any] = {"machine": machine(model.run.network.device)}
        facts["lines"] = {name: asdict(line) for name, line in lines.items()}
        click.echo(json.dumps(facts | {"points": [asdict(its) for its in timings]}))
        return
    click.echo(report(timings, lines))


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
