"""What millions of designs cost: `python -m benchmarks.large`.

Core hours, hours on so many cores, bytes read and written, and money, for ImageNet-1k, ImageNet-21k and a
billion images, by estimator. CPU time is a line in the number of images, for a design depends on its image
alone: what a worker does once, and what it does for each image. Both are fitted to a few sizes that are timed
here, or to those that `benchmarks.scaling` or `benchmarks.design_cost` wrote with `--json`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.figures import markdown
from benchmarks.large.files import GLIMPSES, PLACES, files_table, size_text, written_bytes
from benchmarks.scaling.works import untrained
from benchmarks.stopwatch import machine
from boed.approximations import Approximations
from boed.combination import Combination
from boed.estimators.amortised import AmortisedEstimator
from boed.search.designer import Designer, design_sequences
from data.dataset import Split
from data.device import one_thread
from data.errors import GlimpseError, SettingsError
from data.geometry import Geometry

TASKS = {"ImageNet-1k": 1_281_167, "ImageNet-21k": 14_197_122, "a billion": 10**9}
"""Images to design for; the first two are the numbers of training images that are published with them."""
GEOMETRY = Geometry(112, 112, 3, glimpse_size=16, per_axis=8)
CLASSES, BANK, COMPLETIONS = (
    1000,
    8000,
    100,
)  # of the designs that are timed; the bank is the largest of a fit
WAYS = {
    "fixed order": (Combination(), 0.0, 40),
    "completion": (Combination(), 1.0, 1),
    "completion, shrunk": (Combination(), 0.35, 1),
    "amortised": (Combination(estimator="amortised"), 1.0, 40),
}
"""Row -> parts; weight of an image's own map, the rest is the average map of its history; how many times as
many images are timed, of what is fast."""


@dataclass(frozen=True)
class Cost:
    """CPU seconds of designs by one estimator.

    Attributes:
        name: of the estimator.
        once: for each worker.
        each: for each image.
    """

    name: str
    once: float
    each: float

    @classmethod
    def fitted(cls, name: str, counts: Sequence[float], seconds: Sequence[float]) -> Cost:
        """The least-squares line through seconds at numbers of images.

        >>> Cost.fitted("completion", [2, 4, 8], [11.0, 12.0, 14.0])
        Cost(name='completion', once=10.0, each=0.5)
        """
        each, once = np.polyfit(counts, seconds, 1).round(9).tolist()
        return cls(name, max(0.0, once), max(0.0, each))


@dataclass(frozen=True)
class Assumptions:
    """What is not measured.

    Attributes:
        cores: that design at the same time.
        price: of a core for an hour.
        bytes_read: of an image, as it is stored.
    """

    cores: int
    price: float
    bytes_read: int


@dataclass(frozen=True)
class Bill:
    """What designs for some images cost.

    Attributes:
        task, images, estimator: which, how many, by what.
        core_hours: of CPU.
        hours: from start to end, on all cores.
        bytes_read, bytes_written: of images, and of sequences.
        money: in the currency of the price.
    """

    task: str
    images: int
    estimator: str
    core_hours: float
    hours: float
    bytes_read: float
    bytes_written: float
    money: float


def bill(task: str, images: int, cost: Cost, assumed: Assumptions) -> Bill:
    """What so many designs cost; no more cores work than there are images.

    >>> found = bill("some", 7200, Cost("completion", 3600.0, 0.5), Assumptions(10, 0.1, 1000))
    >>> found.core_hours, found.hours, round(found.money, 3)
    (11.0, 1.1, 1.1)
    """
    cores = min(assumed.cores, images)
    hours = (cores * cost.once + images * cost.each) / 3600
    read, written = float(images * assumed.bytes_read), float(written_bytes(images))
    return Bill(task, images, cost.name, hours, hours / cores, read, written, hours * assumed.price)


def measured(counts: Sequence[int], bank: int) -> list[Cost]:
    """Costs of all ways, timed on one thread for so many images each.

    Args:
        counts: numbers of images, two or more; of what is fast, multiples of them.
        bank: labelled images that complete.
    """
    learned = untrained(GEOMETRY, noise(bank, "bank"), glimpses=GLIMPSES, classes=CLASSES)
    images = noise(1 + sum(counts) * max(times for _, _, times in WAYS.values()), "images")
    with one_thread():
        start = time.process_time()
        learned.embedded()
        embedding = time.process_time() - start
        costs = [timed(name, learned, images, counts) for name in WAYS]
    return [replace(cost, once=cost.once + embedding) for cost in costs]


def timed(name: str, learned: Approximations, images: Split, counts: Sequence[int]) -> Cost:
    """That of one way, with a bank that is embedded: every image is designed for once.

    What the first one takes longer than the others is done once.
    """
    combination, weight, times = WAYS[name]
    counts = [times * count for count in counts]
    learned.combination = combination
    learned.estimator = AmortisedEstimator(GEOMETRY, learned.places, GLIMPSES).eval()
    designer, spent, low = Designer(learned, completions=COMPLETIONS), [], 0
    for count in (1, *counts):
        rows, start = torch.arange(low, low + count), time.process_time()
        design_sequences(designer, images, rows, GLIMPSES, (weight,) * GLIMPSES, seed=0)
        spent.append(time.process_time() - start)
        low += count
        click.echo(f"{name}: {count} images in {spent[-1]:.3g} CPU s", err=True)
    line = Cost.fitted(name, counts, spent[1:])
    return replace(line, once=max(0.0, spent[0] - line.each))


def noise(count: int, name: str) -> Split:
    """Images of noise, whose classes are as frequent as each other."""
    size = (count, GEOMETRY.height, GEOMETRY.width, GEOMETRY.channels)
    images = torch.randint(256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(len(name)))
    numbers = torch.arange(count)
    return Split(images, numbers % CLASSES, numbers, name)


def read_costs(path: Path) -> list[Cost]:
    """Costs that another benchmark has written.

    Raises:
        SettingsError: the file is not one of those.
    """
    try:
        found = json.loads(path.read_text())
        costs = _of_scaling(found) or _of_design_cost(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"expected figures in {path}, found: {error!r}; name another file") from None
    if not costs:
        raise SettingsError(
            f"expected the JSON of benchmarks.scaling or benchmarks.design_cost, found another in {path}; "
            "write one with --json"
        )
    return costs


def _of_scaling(found: dict[str, Any]) -> list[Cost]:
    """Of the rows in which the images to design for are doubled."""
    rows = [row for row in found["rows"] if (row.get("work"), row.get("factor")) == ("design", "images")]
    return [Cost.fitted("completion", row["sizes"], row["seconds"]) for row in rows]


def _of_design_cost(found: dict[str, Any]) -> list[Cost]:
    """Of every way to design; what is done once is that of the fit, and of no published loop."""
    once = (found.get("once") or {}).get("seconds", 0.0)
    return [
        Cost(row["name"], 0.0 if row["extrapolated"] else once, row["cpu_seconds_per_sequence"])
        for row in found["rows"]
        if "cpu_seconds_per_sequence" in row
    ]


def costs_table(costs: Sequence[Cost]) -> str:
    """Markdown."""
    cells = [[cost.name, f"{cost.once:.3g}", f"{cost.each:.3g}"] for cost in costs]
    return markdown(["estimator", "CPU s, once a worker", "CPU s, each image"], cells)


def bills_table(bills: Sequence[Bill], cores: int) -> str:
    """Markdown."""
    head = ["images", "estimator", "core hours", f"hours on {cores:,} cores", "read", "written", "money"]
    return markdown(head, [_cells(each) for each in bills])


def _cells(its: Bill) -> list[str]:
    hours = [f"{_round(its.core_hours):,}", f"{_round(its.hours):,}"]
    sizes = [size_text(its.bytes_read), size_text(its.bytes_written)]
    return [f"{its.task}, {its.images:,}", its.estimator, *hours, *sizes, f"{_round(its.money):,}"]


def _round(value: float) -> float | int:
    """To three figures; whole from 100 on.

    >>> _round(123456.0), _round(0.012345), _round(8.0)
    (123000, 0.0123, 8.0)
    """
    rounded = float(f"{value:.3g}")
    return int(rounded) if rounded >= 100 else rounded


COUNT = click.IntRange(min=1)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--measured",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="JSON of benchmarks.scaling or benchmarks.design_cost, instead of timing; may be repeated.",
)
@click.option(
    "--count",
    "counts",
    type=COUNT,
    multiple=True,
    default=(2, 4, 8),
    show_default=True,
    help="Images that are designed for and timed, a line through several; may be repeated.",
)
@click.option("--bank", type=COUNT, default=BANK, show_default=True, help="Of the designs that are timed.")
@click.option("--cores", type=COUNT, default=1000, show_default=True, help="That design at a time.")
@click.option("--price", default=0.04, show_default=True, help="Of a core for an hour.")
@click.option("--bytes-per-image", type=COUNT, default=115_000, show_default=True, help="That are read.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def main(
    files: tuple[Path, ...],
    counts: tuple[int, ...],
    bank: int,
    cores: int,
    price: float,
    bytes_per_image: int,
    as_json: bool,
) -> None:
    """Core hours, bytes and money of designs for ImageNet-1k, ImageNet-21k and a billion images.

    \b
    Examples:
      python -m benchmarks.large
      python -m benchmarks.large --measured design_cost.json --cores 64 --price 0.02
    """
    assumed = Assumptions(cores, price, bytes_per_image)
    try:
        if not files and len(set(counts)) < 2:
            raise SettingsError("expected two different numbers of images for a line, found one; add --count")
        known = [cost for path in files for cost in read_costs(path)]
        costs = known or measured(sorted(set(counts)), bank)
    except GlimpseError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    bills = [bill(task, images, cost, assumed) for task, images in TASKS.items() for cost in costs]
    where = ", ".join(map(str, files)) or machine(torch.device("cpu"))
    if as_json:
        rows = {"costs": [vars(cost) for cost in costs], "bills": [vars(each) for each in bills]}
        click.echo(json.dumps({"measured": where, "assumed": vars(assumed)} | rows))
        return
    tables = [costs_table(costs), bills_table(bills, cores), files_table(TASKS)]
    stored = f"sequences of {GLIMPSES} glimpses, with maps over {PLACES} places"
    click.echo("\n\n".join([f"{where}; {stored}", *tables]))
