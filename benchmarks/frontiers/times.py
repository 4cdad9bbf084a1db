"""What the networks of a frontier cost in milliseconds and bytes, beside their MFLOPs, and rivals in int8.

python -m benchmarks.frontiers.times runs/celebahq-Male/frontier/frontier.json

Of every family the network that validation chooses for each budget, of the first seed, looks at test images
as they are stored: alone and 64 at a time, on one core, in turn with all others, and the middle of the rounds
counts. Averaging down is part of it. A network with exits runs to its last one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from torch import Tensor

from benchmarks.alternation import Work, clock_of, rates
from benchmarks.frontiers.int8 import Network, in_int8
from data.averaging import averaged_down
from data.cli.commands import one_line_errors
from data.cli.options import PATH
from data.dataset import DataSet, Split
from data.device import one_thread
from data.pool import ImagePool
from hardattn.baselines.layers import Baseline
from hardattn.baselines.resolution import at_resolution
from hardattn.baselines.training import EVALUATED_AT_ONCE, seen_geometry
from hardattn.experiments.frontier.pareto import FrontierPoint, choices
from hardattn.experiments.frontier.result import Frontier
from hardattn.experiments.frontier.summary import BUDGETS
from hardattn.loading import Trained, open_trained
from hardattn.model.looking import look_of
from hardattn.objectives.registry import METHODS
from hardattn.stopping.online import Walker
from hardattn.stopping.registry import RULES

BATCHES = (1, 64)
IN_INT8 = ("cnn", "separable")  # families whose networks are also measured in int8
CALIBRATION = 256  # training images
ROUNDS, SECONDS = 5, 0.02  # of measuring; of each work in a round


@dataclass(frozen=True)
class Timed:
    """A network as it is measured.

    Attributes:
        budget: MFLOPs for which it is chosen.
        accuracy: on the test images.
        bytes_read: of an image, values of one byte, by a sensor that bins; where software averages.
        look: at images of the split by number.
    """

    point: FrontierPoint
    budget: float
    arithmetic: str
    accuracy: float
    bytes_read: tuple[float, float]
    look: Callable[[Tensor], Any]


def chosen(found: Frontier) -> list[tuple[float, FrontierPoint]]:
    """The cheapest budget for each network that validation chooses, of the first seed."""
    points = found.of_seed(found.seeds[0])
    families, kept = dict.fromkeys(point.family for point in points), dict[FrontierPoint, float]()
    for name, choice in choices(points).items():
        for budget in BUDGETS if name in families else ():
            for point in choice.at(budget) or ():
                kept.setdefault(point, budget)
    return [(budget, point) for point, budget in kept.items()]


def timed(folder: Path, budget: float, point: FrontierPoint, dataset: DataSet) -> list[Timed]:
    """A network as it is, and in int8 where that is wanted."""
    run = open_trained(folder / point.run, dataset=dataset, device="cpu")
    channels = run.settings.geometry.channels
    read = (channels * (point.values_read or 0.0), channels * (point.pixels_read or 0.0))
    test = run.dataset["test"]
    as_is = Timed(point, budget, "float32", point.test_accuracy, read, _looker(run, test, point))
    if point.family not in IN_INT8 or not isinstance(run.network, Baseline):
        return [as_is]
    side = seen_geometry(run.whole_image()[1]).height
    small = in_int8(run.network, floats(calibration(run.dataset, side)))
    seen = at_resolution(test, side)
    parts = torch.split(seen.images, EVALUATED_AT_ONCE)
    answers = torch.cat([small(floats(part)).argmax(1) for part in parts])
    right = (answers == test.labels).double().mean().item()
    look = partial(_whole, small, test.images, side)
    return [as_is, replace(as_is, arithmetic="int8", accuracy=right, look=look)]


def calibration(dataset: DataSet, side: int) -> Tensor:
    """(B, R, R, C) some training images as a network sees them."""
    return averaged_down(dataset["train"].images[:CALIBRATION], side)


def floats(images: Tensor) -> Tensor:
    """(B, R, R, C) uint8 -> (B, C, R, R) values in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def _looker(run: Trained, split: Split, point: FrontierPoint) -> Callable[[Tensor], Any]:
    if isinstance(run.network, Baseline):
        side = seen_geometry(run.whole_image()[1]).height
        return partial(_whole, run.network.eval(), split.images, side)
    network, settings = run.glimpsing()
    geometry, mode = settings.geometry, METHODS[settings.method].evaluation

    def look(index: Tensor) -> Any:
        images = replace(split, images=split.images[index], labels=split.labels[index], ids=split.ids[index])
        at = look_of(ImagePool([images]), geometry.known_retina(), network.device)
        walker = Walker(network, at, len(index), geometry.grid(), settings.glimpses, mode, settings.seed)
        return walker.until(RULES[point.rule], point.threshold)

    return look


def _whole(network: Network, images: Tensor, side: int, index: Tensor) -> Tensor:
    some = images[index]
    return network(floats(some if side == some.shape[1] else averaged_down(some, side)))


@torch.no_grad()
def milliseconds(works: Sequence[Timed], batch: int, images: int) -> list[float]:
    """Of CPU for an image, the middle of rounds in which each has its turn.

    One batch after the other: how often a network looks depends on the image where a rule stops it.
    """
    turns = {str(at): Work(one_by_one(work.look, batch, images), batch) for at, work in enumerate(works)}
    with one_thread():
        found = rates(turns, ROUNDS, SECONDS, clock_of(torch.device("cpu")))
    return [1000 / median(rate) for rate in found.values()]


def one_by_one(look: Callable[[Tensor], Any], batch: int, images: int) -> Callable[[], Any]:
    """Looks at the next images with every call, from the first on again after the last.

    >>> look = one_by_one(Tensor.tolist, 2, images=3)
    >>> look(), look(), look()
    ([0, 1], [2, 0], [1, 2])
    """
    starts = count(step=batch)
    return lambda: look((next(starts) + torch.arange(batch)) % images)


def rows(path: Path) -> list[dict[str, Any]]:
    """One for each network that is chosen; `seconds` are of its training."""
    found, folder = Frontier.read(path), path.parent
    dataset = open_trained(folder / found.points[0].run, device="cpu").dataset  # which is read once
    works = [work for budget, point in chosen(found) for work in timed(folder, budget, point, dataset)]
    times = {batch: milliseconds(works, batch, len(dataset["test"])) for batch in BATCHES}
    return [
        {
            **_of(work),
            **{f"milliseconds_batch_{batch}": each[at] for batch, each in times.items()},
        }
        for at, work in enumerate(works)
    ]


def _of(work: Timed) -> dict[str, Any]:
    known = asdict(work.point)
    names = ("family", "name", "rule", "threshold", "mflops", "software_mflops", "seed", "seconds")
    kept = {name: known[name] for name in names}
    facts = {"budget": work.budget, "arithmetic": work.arithmetic, "accuracy": work.accuracy}
    reads = {"bytes_binning": work.bytes_read[0], "bytes_software": work.bytes_read[1]}
    return {**kept, **facts, **reads, "seconds": kept["seconds"] if work.arithmetic == "float32" else 0.0}


def as_text(found: Sequence[Mapping[str, Any]]) -> str:
    """For people."""
    head = f"{'MFLOPs':>8} {'ms':>8} {'ms of 64':>9} {'bytes':>7} {'software':>9} {'%':>6}  network"
    lines = [
        f"{row['mflops']:>8.3f} {row['milliseconds_batch_1']:>8.3f} {row['milliseconds_batch_64']:>9.4f} "
        f"{row['bytes_binning']:>7.0f} {row['bytes_software']:>9.0f} {100 * row['accuracy']:>6.1f}  "
        f"{row['name']}, {row['rule']} {row['threshold']:.3g}, {row['arithmetic']}"
        for row in found
    ]
    return "\n".join([head, *lines])


@click.command()
@click.argument("path", metavar="FRONTIER_JSON", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@one_line_errors()
def main(path: Path, as_json: bool) -> None:
    """Milliseconds on one core and bytes read by the networks of a file that `hardattn frontier` wrote."""
    found = rows(path)
    click.echo(json.dumps({"rows": found}) if as_json else as_text(found))


if __name__ == "__main__":
    main()
