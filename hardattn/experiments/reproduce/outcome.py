"""A published table as it came out: its rows, and the choice among them by validation, never by test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean
from typing import Any

from data.coverage import coverage_table
from hardattn.experiments.reproduce.effects import Effect, Gap, effects, gaps
from hardattn.experiments.reproduce.row import Row
from hardattn.experiments.reproduce.summary import Summary, summaries


@dataclass(frozen=True)
class Choice:
    """The method that the validation images of a task choose.

    Attributes:
        error_percent: of the test images, mean over its seeds.
        published_error_percent: the least of those beside its rows, None where there is none.
        best_known_percent: see `Row`.
        told: see `Row`.
    """

    task: str
    method: str
    error_percent: float
    published_error_percent: float | None
    best_known_percent: float | None = None
    told: str = ""


@dataclass(frozen=True)
class Published:
    """A published figure that stands beside a table, not beside one of its rows.

    Attributes:
        name: whose it is, in words.
        iterations: to convergence, None where they are not known.
    """

    name: str
    error_percent: float
    iterations: int | None = None

    def __str__(self) -> str:
        after = "" if self.iterations is None else f" after {self.iterations:,} iterations"
        return f"published: {self.name} {self.error_percent:g} %{after}"


@dataclass(frozen=True)
class Reproduction:
    """A whole table.

    Attributes:
        published_whole: error in % that the table stands beside as a whole, None without one.
        minutes: of training, for all its rows together.
        reference: name of the row whose convergence is compared with, or "".
        published: what else is known.
    """

    name: str
    rows: list[Row]
    published_whole: float | None
    minutes: float
    reference: str = ""
    published: list[Published] = field(default_factory=list)

    @property
    def choices(self) -> list[Choice]:
        """Of each task, from the rows that learn where to look, or from all where none does.

        Rows that were told more than labels choose only where there are no others: published figures are of
        networks that were not.
        """
        looking = [row for row in self.rows if row.chooses] or self.rows
        tasks = grouped(looking, lambda row: row.task)
        return [_choice([row for row in rows if not row.told] or rows) for rows in tasks]

    @property
    def error_percent(self) -> float:
        """Of the chosen methods, mean over the tasks."""
        return mean(choice.error_percent for choice in self.choices)

    @property
    def published_error_percent(self) -> float | None:
        """The table's, or the mean over its tasks where something is known for each of them."""
        known = [choice.published_error_percent for choice in self.choices]
        stated = [figure for figure in known if figure is not None]
        whole = self.published_whole
        return whole if whole is not None or len(stated) < len(known) else mean(stated)

    @property
    def summaries(self) -> list[Summary]:
        return summaries(self.rows, self.reference)

    @property
    def effects(self) -> list[Effect]:
        """Of the settings of the glimpses, where the table has ways."""
        return effects(self.rows)

    @property
    def gaps(self) -> list[Gap]:
        """Between data sets, where the table has ways."""
        return gaps(self.rows)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": [asdict(row) for row in self.rows],
            "error_percent": self.error_percent,
            "published_error_percent": self.published_error_percent,
            "published": [asdict(figure) for figure in self.published],
            "minutes": self.minutes,
            "choices": [asdict(choice) for choice in self.choices],
            "methods": [asdict(summary) for summary in self.summaries],
            "effects": [effect.to_json() for effect in self.effects],
            "gaps": [gap.to_json() for gap in self.gaps],
        }


def grouped(rows: Sequence[Row], key: Callable[[Row], str]) -> list[list[Row]]:
    """Rows with the same key together, in the order in which they come first."""
    return [[row for row in rows if key(row) == name] for name in dict.fromkeys(key(row) for row in rows)]


def _choice(rows: Sequence[Row]) -> Choice:
    methods = grouped(rows, lambda row: row.method)
    best = min(methods, key=lambda seeds: mean(row.validation_percent for row in seeds))
    own = [row.published_error_percent for row in rows if not row.published_on]
    known = [figure for figure in own if figure is not None]
    error = mean(row.error_percent for row in best)
    beside = best[0].best_known_percent, best[0].told
    return Choice(best[0].task, best[0].method, error, min(known, default=None), *beside)


def as_text(result: Reproduction) -> str:
    """The table for people."""
    tasks = dict.fromkeys((row.method, row.task) for row in result.rows)
    several = len(tasks) > len({method for method, _ in tasks})
    lines = [f"{result.name}, {result.minutes:g} minutes of training in all"]
    lines += [f"{_titles()}  row{' and task' if several else ''}"]
    lines += [_line(row, several) for row in result.rows]
    lines += [
        f"* published on {name}, other images" for name in dict.fromkeys(map(_elsewhere, result.rows)) if name
    ]
    lines += [str(figure) for figure in result.published]
    lines += dict.fromkeys(
        f"best known: {row.best_known} {row.best_known_percent:g} %" for row in result.rows if row.best_known
    )
    lines += [TOLD] if any(row.told for row in result.rows) else []
    lines += [str(one) for one in result.summaries if one.trainings > 1 or one.times_sooner is not None]
    held = [(one.method, one.coverage) for one in result.summaries if one.coverage]
    lines += [coverage_table(held)] if held else []
    for choice in result.choices:
        task = f" of {choice.task}" if len(result.choices) > 1 else ""
        known = choice.published_error_percent
        beside = "" if known is None else f", published {known:.2f}"
        beside += "" if choice.best_known_percent is None else f", best known {choice.best_known_percent:.2f}"
        beside += choice.told and f", told {choice.told}"
        error = f"{choice.error_percent:.2f} % error"
        lines.append(f"chosen on validation{task}: {choice.method}, {error}{beside}")
    lines += [str(one) for one in (*result.effects, *result.gaps)]
    return "\n".join(lines)


COLUMNS: Sequence[tuple[str, int, Callable[[Row], str]]] = (
    ("error %", 8, lambda row: f"{row.error_percent:.2f}"),
    ("published", 10, lambda row: _known(row.published_error_percent, ".2f") + _star(row)),
    ("best known", 11, lambda row: _known(row.best_known_percent, ".2f")),
    ("valid. %", 9, lambda row: f"{row.validation_percent:.2f}"),
    ("best epoch", 11, lambda row: f"{row.best_epoch:.2f}"),
    ("published", 10, lambda row: _known(row.published_epoch, "g")),
    ("seconds", 8, lambda row: f"{row.seconds:.0f}"),
    ("iterations", 11, lambda row: f"{row.iterations:,}"),
    ("MFLOPs", 8, lambda row: f"{row.mflops:.2f}"),
    ("parameters", 11, lambda row: f"{row.parameters:,}"),
    ("seed", 5, lambda row: str(row.seed)),
    ("told", 6, lambda row: row.told),
)
"""Title, width, and what a row has there."""


TOLD = "told: what a row knows of training images beside their labels; no published row does"


def _known(value: float | None, digits: str) -> str:
    return "" if value is None else format(value, digits)


def _elsewhere(row: Row) -> str:
    """The other data set that the published figure of a row is of, or ""."""
    return row.published_on if row.published_error_percent is not None else ""


def _star(row: Row) -> str:
    return "*" if _elsewhere(row) else ""


def _titles() -> str:
    return " ".join(f"{title:>{width}}" for title, width, _ in COLUMNS)


def _line(row: Row, several: bool) -> str:
    task = f" ({row.task})" if several else ""
    unseen = "" if row.unseen_error_percent is None else f"; unseen {row.unseen_error_percent:.2f} %"
    figures = " ".join(f"{of(row):>{width}}" for _, width, of in COLUMNS)
    return f"{figures}  {row.method}{task}{unseen}"
