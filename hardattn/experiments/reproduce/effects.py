"""What the number of glimpses, their size and their scales do: rows that differ in just that, compared.

Figures are points of accuracy on test images, published ones beside ours. Rows of the same seed are compared,
and where several seeds ran a difference has an interval over them. Rows without a way are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

from hardattn.experiments.reproduce.row import Row
from hardattn.experiments.reproduce.settings import in_words

FACTORS = {"glimpses": "number of glimpses", "glimpse_size": "size of a glimpse", "scales": "scales"}
"""Setting of a row -> what it is, in words."""
SIZE, DATASET, LEVEL = "glimpse_size", "dataset", 0.95


@dataclass(frozen=True)
class Difference:
    """Of accuracy, in points, by seed.

    Attributes:
        values: of each seed.
        published: None where a figure is unknown.
    """

    values: list[float]
    published: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        r"""$\bar d \pm t_{.975, n-1} \, s / \sqrt n$ of n seeds; None of one.

        >>> low, high = Difference([1.0, 2.0, 3.0], None).interval
        >>> round(low, 3), round(high, 3)
        (-0.484, 4.484)
        """
        count = len(self.values)
        if count < 2:
            return None
        half = float(student.ppf((1 + LEVEL) / 2, count - 1)) * stdev(self.values) / count**0.5
        return mean(self.values) - half, mean(self.values) + half

    def __str__(self) -> str:
        ends = self.interval
        between = "" if ends is None else f" [{ends[0]:+.2f}, {ends[1]:+.2f}]"
        published = "" if self.published is None else f" (published {self.published:+.2f})"
        return f"{mean(self.values):+.2f}{between}{published}"

    def to_json(self) -> dict[str, Any]:
        return {"points": mean(self.values), "interval": self.interval, **asdict(self)}

    def minus(self, other: Difference) -> Difference:
        """The difference of two differences, seed by seed."""
        known = self.published is not None and other.published is not None
        published = self.published - other.published if known else None  # type: ignore[operator]
        return Difference([a - b for a, b in zip(self.values, other.values, strict=True)], published)

    @classmethod
    def between(cls, before: Sequence[Row], after: Sequence[Row]) -> Difference:
        """What accuracy gains from the rows of one task to those of another one."""
        errors = {row.seed: row.error_percent for row in after}
        gained = [row.error_percent - errors[row.seed] for row in before if row.seed in errors]
        there, then = before[0].published_error_percent, after[0].published_error_percent
        return cls(gained, None if there is None or then is None else there - then)

    @classmethod
    def mean(cls, every: Sequence[Difference]) -> Difference:
        """Seed by seed; the published figure is known where all are."""
        known = [one.published for one in every if one.published is not None]
        values = [mean(of_seed) for of_seed in zip(*(one.values for one in every), strict=True)]
        return cls(values, mean(known) if len(known) == len(every) else None)


@dataclass(frozen=True)
class Change:
    """What one step of one setting does, all else being equal.

    Attributes:
        setting: which of `FACTORS`.
        before, after: its values.
        given: the rest of the task.
        difference: what accuracy gains.
    """

    setting: str
    before: int
    after: int
    given: Mapping[str, Any]
    difference: Difference

    def __str__(self) -> str:
        return f"{self.before} to {self.after} {_where(self.given)}: {self.difference}"


@dataclass(frozen=True)
class Effect:
    """What one setting does to one way of training.

    Attributes:
        setting: which of `FACTORS`.
        changes: every step of it that the table has.
        mean: over them; of those that are published, where some are.
    """

    way: str
    setting: str
    changes: list[Change]

    @property
    def mean(self) -> Difference:
        published = [its.difference for its in self.changes if its.difference.published is not None]
        return Difference.mean(published or [its.difference for its in self.changes])

    def __str__(self) -> str:
        title = f"effect of the {FACTORS[self.setting]} on {self.way}, points of accuracy: {self.mean}"
        return "\n".join([title, *(f"  {change}" for change in self.changes)])

    def to_json(self) -> dict[str, Any]:
        changes = [asdict(its) | {"difference": its.difference.to_json()} for its in self.changes]
        return {
            "way": self.way,
            "setting": self.setting,
            "mean": self.mean.to_json(),
            "changes": changes,
        }


@dataclass(frozen=True)
class Gap:
    """Between the accuracies on two data sets, for glimpses of a smaller and of a larger size.

    Attributes:
        datasets: the easier one first.
        sizes: of a glimpse.
        given: the rest of the task.
        small, large: points by which the second data set is behind, for each size.
    """

    way: str
    datasets: tuple[str, str]
    sizes: tuple[int, int]
    given: Mapping[str, Any]
    small: Difference
    large: Difference

    @property
    def narrowed(self) -> Difference:
        """By how many points the gap is smaller for the larger size."""
        return self.small.minus(self.large)

    @property
    def narrows(self) -> bool | None:
        """Whether it does; None where the interval has 0 in it."""
        low, high = self.narrowed.interval or (mean(self.narrowed.values),) * 2
        return low > 0 if low > 0 or high < 0 else None

    def __str__(self) -> str:
        verdict = {True: "narrows", False: "does not narrow", None: "cannot be told to narrow"}[self.narrows]
        seeds = "" if self.narrowed.interval else " in one seed"
        return (
            f"the gap between {' and '.join(self.datasets)} ({self.way}) {verdict}{seeds} from glimpses of "
            f"{self.sizes[0]} to {self.sizes[1]} pixels {_where(self.given)}: {self.small} to {self.large} "
            f"points, smaller by {self.narrowed}"
        )

    def to_json(self) -> dict[str, Any]:
        figures = {"small": self.small, "large": self.large, "narrowed": self.narrowed}
        return {**asdict(self), "narrows": self.narrows} | {k: its.to_json() for k, its in figures.items()}


def effects(rows: Sequence[Row]) -> list[Effect]:
    """Of every setting and every way that has rows which differ in just that setting."""
    every = [
        Effect(way, setting, list(_changes(way, setting, rows)))
        for setting, way in product(FACTORS, _ways(rows))
    ]
    return [effect for effect in every if effect.changes]


def gaps(rows: Sequence[Row]) -> list[Gap]:
    """Of every way and every two sizes, one after the other, that rows of two data sets have."""
    return [gap for way in _ways(rows) for gap in _gaps(way, rows)]


def _changes(way: str, setting: str, rows: Sequence[Row]) -> Iterator[Change]:
    for given, values in _groups(way, setting, rows):
        for (before, first), (after, second) in pairwise(sorted(values.items())):
            yield Change(setting, before, after, given, Difference.between(first, second))


def _gaps(way: str, rows: Sequence[Row]) -> Iterator[Gap]:
    sized = [(given, values) for given, values in _groups(way, SIZE, rows)]
    names = list(dict.fromkeys(given[DATASET] for given, _ in sized))
    for (easy, own), (hard, others) in product(sized, sized):
        rest = {key: value for key, value in easy.items() if key != DATASET}
        ordered = names.index(easy[DATASET]) < names.index(hard[DATASET])
        if ordered and {**rest, DATASET: hard[DATASET]} == hard:
            for small, large in pairwise(sorted(own.keys() & others.keys())):
                behind = [Difference.between(others[size], own[size]) for size in (small, large)]
                yield Gap(way, (easy[DATASET], hard[DATASET]), (small, large), rest, *behind)


def _groups(way: str, setting: str, rows: Sequence[Row]) -> list[tuple[dict[str, Any], dict[int, list[Row]]]]:
    """Of rows that are alike but for a setting: what they share, and the rows by the value of it."""
    found: dict[str, tuple[dict[str, Any], dict[int, list[Row]]]] = {}
    for row in rows:
        if row.way == way and setting in row.given:
            rest = {key: value for key, value in row.given.items() if key != setting}
            _, values = found.setdefault(repr(sorted(rest.items())), (rest, {}))
            values.setdefault(row.given[setting], []).append(row)
    return list(found.values())


def _ways(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.way for row in rows if row.way))


def _where(given: Mapping[str, Any]) -> str:
    """The rest of a task, in words."""
    named = [f"{key.replace('_', ' ')} {in_words(given[key])}" for key in FACTORS if key in given]
    return f"({', '.join([*([given[DATASET]] if DATASET in given else []), *named])})"
