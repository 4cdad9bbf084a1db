"""What the rows of one method come to, over the tasks and seeds of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

from data.coverage import CoverageRow, mean_coverage
from data.logs import read_log
from hardattn.experiments.reproduce.row import Row
from hardattn.training import checkpoint
from hardattn.training.convergence import Sooner, sooner


@dataclass(frozen=True)
class Summary:
    """Means over the trainings of one method; a figure that is known of none of them is None.

    Attributes:
        trainings: how many, tasks times seeds.
        error_percent: of the test images.
        error_percents: the values.
        published_error_percent: mean over those tasks where one is known.
        error_percent_beside: own error, mean over the same trainings.
        unseen_error_percent: see `Row`.
        iterations_to_convergence, seconds_to_convergence: of each training, see `Row`.
        published_iterations: to convergence.
        times_sooner: iterations that the reference took to the validation NLL at which this converged, over
            those of this; the median. Where the reference never got there its last iteration stands for it.
        least_times_sooner: the smallest of them.
        seconds_times_sooner: the same of seconds, median, with the time of making the sequences counted.
        reached: of how many the reference got there; the others are lower bounds.
        published_on, best_known_percent, told: see `Row`.
        coverage: mean over trainings, of those with boxes.
    """

    method: str
    trainings: int
    error_percent: float
    error_percents: list[float]
    published_error_percent: float | None
    error_percent_beside: float | None
    unseen_error_percent: float | None
    iterations_to_convergence: float
    seconds_to_convergence: float
    published_iterations: float | None
    times_sooner: float | None
    least_times_sooner: float | None
    seconds_times_sooner: float | None
    reached: int | None
    published_on: str = ""
    best_known_percent: float | None = None
    told: str = ""
    coverage: list[CoverageRow] = field(default_factory=list)

    def __str__(self) -> str:
        values = ", ".join(f"{value:.2f}" for value in self.error_percents)
        parts = [f"mean of {self.method}: {self.error_percent:.2f} % error ({values})"]
        if self.published_error_percent is not None:
            known = f"{self.published_error_percent:.2f}{self.published_on and f' on {self.published_on}'}"
            parts.append(f"{self.error_percent_beside:.2f} where published {known}")
        if self.best_known_percent is not None:
            parts.append(f"best known {self.best_known_percent:.2f}")
        if self.told:
            parts.append(f"told {self.told}")
        if self.unseen_error_percent is not None:
            parts.append(f"unseen {self.unseen_error_percent:.2f}")
        parts.append(f"converged after {self.iterations_to_convergence:,.0f} iterations")
        if self.times_sooner is not None:
            parts.append(
                f"{self.times_sooner:.1f} times sooner than the reference (at least "
                f"{self.least_times_sooner:.1f}), which got there in {self.reached} of {self.trainings}; "
                f"{self.seconds_times_sooner:.1f} in seconds, the design's counted"
            )
        return ", ".join(parts)


def summaries(rows: Sequence[Row], reference: str) -> list[Summary]:
    """One for each method, in the order of the rows.

    Args:
        rows: of a table; their run folders are read where there is a reference.
        reference: name of the method with which convergence is compared, or "".
    """
    names = dict.fromkeys(row.method for row in rows)
    return [_summary([row for row in rows if row.method == name], rows, reference) for name in names]


def _summary(own: Sequence[Row], rows: Sequence[Row], reference: str) -> Summary:
    beside = [row for row in own if row.published_error_percent is not None]
    compared = _compared(own, rows, reference)
    times = [one.iterations for one in compared]
    return Summary(
        method=own[0].method,
        trainings=len(own),
        error_percent=mean(row.error_percent for row in own),
        error_percents=[row.error_percent for row in own],
        published_error_percent=_mean([row.published_error_percent for row in own]),
        error_percent_beside=_mean([row.error_percent for row in beside]),
        unseen_error_percent=_mean([row.unseen_error_percent for row in own]),
        iterations_to_convergence=mean(row.iterations_to_convergence for row in own),
        seconds_to_convergence=mean(row.seconds_to_convergence for row in own),
        published_iterations=_mean([row.published_iterations for row in own]),
        times_sooner=median(times) if times else None,
        least_times_sooner=min(times, default=None),
        seconds_times_sooner=median(one.seconds_counted for one in compared) if compared else None,
        reached=sum(one.reached for one in compared) if compared else None,
        published_on=own[0].published_on,
        best_known_percent=_mean([row.best_known_percent for row in own]),
        told=own[0].told,
        coverage=mean_coverage([row.coverage for row in own if row.coverage]),
    )


def _compared(own: Sequence[Row], rows: Sequence[Row], reference: str) -> list[Sooner]:
    """Each training beside the reference's of the same task and seed, where that is there."""
    others = {(row.task, row.seed): row for row in rows if row.method == reference}
    pairs = [(row, others.get((row.task, row.seed))) for row in own if row.method != reference]
    return [sooner(_log(row), _log(other), row.made_in) for row, other in pairs if other is not None]


def _log(row: Row) -> list[dict[str, Any]]:
    return list(read_log(Path(row.run) / checkpoint.LOG))


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return mean(known) if known else None
