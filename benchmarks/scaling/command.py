"""How cost grows: `python -m benchmarks.scaling` doubles one size at a time, of made-up tasks.

CPU time and memory of a fit, of designs, of training and of prediction, each in a process of its own. What is
printed is the slope on a log-log scale beside the exponent that is expected: that of the largest term. Parts
that do not grow make it smaller; a slope above it is said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import markdown
from benchmarks.scaling.works import TINY, WORKS, Point, Sizes, measure_apart
from benchmarks.stopwatch import machine

OUT, DPI = Path("runs/scaling.png"), 80
FEWEST_MEGABYTES = 8.0  # from which on a slope of memory says something
ABOVE = 0.15  # what noise may add to a slope
BASES = {
    "fit": Sizes(),
    "design": Sizes(),
    "training": Sizes(images=2000),
    "prediction": Sizes(images=4000),
}
EXPECTED: dict[str, dict[str, tuple[int, int]]] = {
    "fit": {"images": (1, 1), "places": (1, 1), "glimpses": (1, 1), "side": (0, 2), "classes": (1, 1)},
    "design": {
        "images": (1, 1),
        "places": (1, 1),
        "completions": (1, 1),
        "bank": (1, 1),
        "glimpses": (1, 1),
        "side": (0, 2),
        "classes": (1, 1),
    },
    "training": {"images": (1, 1), "glimpses": (1, 1), "side": (0, 2), "classes": (0, 0)},
    "prediction": {"images": (1, 1), "glimpses": (1, 1), "side": (0, 2), "classes": (0, 0)},
}
"""Work -> size -> exponents of time and of memory: no work reads all of an image that it keeps."""

FACTORS = tuple(EXPECTED["design"])


@dataclass(frozen=True)
class Growth:
    """What doubling one size of a work costs.

    Attributes:
        work, factor: what was done, and which size was doubled.
        sizes: (P,) as they were.
        seconds, megabytes: (P,) see `benchmarks.scaling.works.Point`.
        expected_seconds, expected_megabytes: exponents.
    """

    work: str
    factor: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    megabytes: tuple[float, ...]
    expected_seconds: int
    expected_megabytes: int

    @property
    def slope(self) -> float:
        """Of time."""
        return slope(self.sizes, self.seconds)

    @property
    def memory_slope(self) -> float | None:
        """Of memory; None where it is too little to tell."""
        return slope(self.sizes, self.megabytes) if min(self.megabytes) >= FEWEST_MEGABYTES else None

    @property
    def as_expected(self) -> bool:
        """Whether neither time nor memory grows faster than expected."""
        memory = self.memory_slope or 0.0
        return self.slope <= self.expected_seconds + ABOVE and memory <= self.expected_megabytes + ABOVE

    def to_json(self) -> dict[str, object]:
        """Everything, with the slopes."""
        slopes = {"slope": self.slope, "memory_slope": self.memory_slope}
        return asdict(self) | slopes | {"as_expected": self.as_expected}


@dataclass(frozen=True)
class Budget:
    """Designs with the largest bank, held to a budget of what is kept of it.

    Attributes:
        memory_gb: the budget, in 2**30 bytes.
        bank: how many images.
        megabytes, without: with that budget, and with none.
    """

    memory_gb: float
    bank: int
    megabytes: float
    without: float

    @property
    def held(self) -> bool:
        """Whether what is kept takes at most that."""
        return self.megabytes - self.without <= 1024 * self.memory_gb

    def __str__(self) -> str:
        return (
            f"memory of designs with a bank of {self.bank:,}: {self.megabytes:.0f} MB within "
            f"{self.memory_gb:g} GB, {self.without:.0f} MB within 0: {'held' if self.held else 'NOT HELD'}"
        )


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Of the least-squares line through costs at sizes, both on a log scale.

    >>> round(slope([1, 2, 4], [3, 12, 48]), 9)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def grown(work: str, base: Sizes, factors: Sequence[str], doublings: int) -> list[Growth]:
    """Each of the sizes of a work doubled so many times, the others as they are."""
    first, rows = measure_apart(work, base), []
    for factor in factors:
        sizes = [replace(base, **{factor: 2**n * getattr(base, factor)}) for n in range(doublings + 1)]
        points = [first, *(measure_apart(work, each) for each in sizes[1:])]
        rows.append(growth(work, factor, sizes, points))
        click.echo(f"{work}, {factor}: slope {rows[-1].slope:.2f}", err=True)
    return rows


def growth(work: str, factor: str, sizes: Sequence[Sizes], points: Sequence[Point]) -> Growth:
    """A row of what was measured."""
    return Growth(
        work,
        factor,
        tuple(each.actual(factor) for each in sizes),
        tuple(point.seconds for point in points),
        tuple(point.megabytes for point in points),
        *EXPECTED[work][factor],
    )


def budget_of(base: Sizes, doublings: int, memory_gb: float) -> Budget:
    """Memory of designs with the largest bank, with a budget and with none."""
    bank = 2**doublings * base.bank
    with_it, without = (
        measure_apart("design", replace(base, bank=bank, memory_gb=each)).megabytes
        for each in (memory_gb, 0.0)
    )
    return Budget(memory_gb, bank, with_it, without)


def table(rows: Sequence[Growth]) -> str:
    """Markdown."""
    head = ["work", "doubled", "sizes", "CPU s", "slope", "expected", "MB", "slope", "expected", ""]
    return markdown(head, [_cells(row) for row in rows])


def _cells(row: Growth) -> list[str]:
    memory = row.memory_slope
    return [
        row.work,
        row.factor,
        f"{row.sizes[0]:,} to {row.sizes[-1]:,}",
        f"{row.seconds[0]:.3g} to {row.seconds[-1]:.3g}",
        f"{row.slope:.2f}",
        str(row.expected_seconds),
        f"{row.megabytes[0]:.0f} to {row.megabytes[-1]:.0f}",
        "" if memory is None else f"{memory:.2f}",
        str(row.expected_megabytes),
        "" if row.as_expected else "faster than expected",
    ]


def draw(rows: Sequence[Growth], path: Path) -> None:
    """Time and memory against each size, relative to the smallest, a column for each work."""
    works = list(dict.fromkeys(row.work for row in rows))
    figure = Figure(figsize=(3.4 * len(works), 6.4), layout="constrained")
    axes = figure.subplots(2, len(works), squeeze=False, sharex=True)
    for column, work in enumerate(works):
        own = [row for row in rows if row.work == work]
        _lines(axes[0, column], {row.factor: (row.sizes, row.seconds) for row in own})
        told = {row.factor: (row.sizes, row.megabytes) for row in own if row.memory_slope is not None}
        _lines(axes[1, column], told)
        axes[0, column].set_title(work)
        axes[0, column].legend(fontsize=7)
        axes[1, column].set_xlabel("size, times the smallest")
    axes[0, 0].set_ylabel("CPU time, times the smallest")
    axes[1, 0].set_ylabel("memory, times the smallest")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _lines(axes: Axes, costs: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    largest = 1.0
    for name, (sizes, values) in costs.items():
        ratios = np.array(sizes) / sizes[0]
        largest = max(largest, float(ratios[-1]))
        axes.plot(ratios, np.array(values) / values[0], marker=".", label=name)
    axes.plot([1, largest], [1, largest], color="grey", linestyle=":", label="slope 1")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--work", "works", type=click.Choice(list(WORKS)), multiple=True, help="[default: all]")
@click.option(
    "--factor",
    "factors",
    type=click.Choice(FACTORS),
    multiple=True,
    help="Size that is doubled; may be repeated. [default: all]",
)
@click.option("--doublings", type=click.IntRange(min=1), default=3, show_default=True, help="Of each size.")
@click.option(
    "--memory-gb", default=0.02, show_default=True, help="That designs with the largest bank are held to."
)
@click.option(
    "--quick", is_flag=True, help="Tiny sizes: that all runs, in two minutes; the slopes say nothing."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=OUT, show_default=True, help="For the picture."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def main(
    works: tuple[str, ...],
    factors: tuple[str, ...],
    doublings: int,
    memory_gb: float,
    quick: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Slopes of CPU time and memory, one size doubled at a time, on one thread.

    \b
    Examples:
      python -m benchmarks.scaling
      python -m benchmarks.scaling --work design --factor bank --factor places
    """
    rows: list[Growth] = []
    for work in works or WORKS:
        chosen = [factor for factor in factors or FACTORS if factor in EXPECTED[work]]
        rows += grown(work, TINY if quick else BASES[work], chosen, doublings) if chosen else []
    if not rows:
        raise click.UsageError(f"expected a size of {', '.join(works)}, found {', '.join(factors)}")
    budget = budget_of(TINY if quick else BASES["design"], doublings, memory_gb)
    draw(rows, out)
    where = machine(torch.device("cpu"))
    if as_json:
        held = asdict(budget) | {"held": budget.held}
        click.echo(json.dumps({"machine": where, "rows": [row.to_json() for row in rows], "budget": held}))
    else:
        click.echo(f"{where}\n\n{table(rows)}\n\n{budget}\n\ndrawn in {out}")
