"""When a training run converged, and how much sooner than another got as far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import CheckpointError

CONVERGED_WITHIN = 0.01  # nats
NEAR_BEST = 0.01  # share of the validation images: one point of accuracy
Log = Sequence[Mapping[str, Any]]
"""The lines of a log: "iteration", "seconds", and "nll" of the validation images."""


@dataclass(frozen=True)
class Sooner:
    """How much sooner a run converged than another one reached the same validation NLL.

    Attributes:
        iterations, seconds: what the other needed, over what the run needed.
        seconds_counted: the same with the time to make its sequences added to the run's.
        reached: False where the other never got there; the numbers are then lower bounds.
    """

    iterations: float
    seconds: float
    seconds_counted: float
    reached: bool


def sooner(run: Log, other: Log, made_in: float = 0.0) -> Sooner:
    """Compares the logs of two training runs.

    The run counts as converged at the first check whose validation NLL is within 0.01 nats of its best; the
    other has reached it at its first check that is as good as that.

    Args:
        run: lines with "iteration", "seconds" and "nll".
        other: the same; where it never gets there, its last line stands for a lower bound.
        made_in: seconds that the run's sequences took.

    >>> start = {"iteration": 0, "seconds": 0.0, "nll": 0.7}
    >>> run = [start, {"iteration": 100, "seconds": 2.0, "nll": 0.3}]
    >>> sooner(run, [start, {"iteration": 900, "seconds": 16.0, "nll": 0.4}], made_in=6.0)
    Sooner(iterations=9.0, seconds=8.0, seconds_counted=2.0, reached=False)
    """
    iteration, seconds = convergence(run)
    goal = next(line["nll"] for line in run if line["iteration"] == iteration)
    there = next((line for line in other if line["nll"] <= goal), None)
    line = other[-1] if there is None else there
    return Sooner(
        line["iteration"] / max(iteration, 1),
        line["seconds"] / max(seconds, 1e-9),
        line["seconds"] / max(seconds + made_in, 1e-9),
        there is not None,
    )


def kept_line(log: Log, select: str) -> Mapping[str, Any]:
    """The line of the weights that were kept: the first of those with the best validation figure.

    Args:
        select: "nll" or "accuracy", see `hardattn.training.trainer.TrainingRecipe`.

    >>> log = [{"nll": 0.7, "accuracy": 0.5}, {"nll": 0.4, "accuracy": 0.8}, {"nll": 0.3, "accuracy": 0.8}]
    >>> kept_line(log, "nll")["nll"], kept_line(log, "accuracy")["nll"]
    (0.3, 0.4)
    """
    return min(log, key=lambda line: missed_by(line, select))


def checks_since_best(log: Log, select: str) -> int:
    """How many lines of a log come after that of the weights that are kept.

    >>> checks_since_best([{"nll": 0.7}, {"nll": 0.4}, {"nll": 0.4}], "nll"), checks_since_best([], "nll")
    (1, 0)
    """
    missed = [missed_by(line, select) for line in log]
    return len(missed) - 1 - missed.index(min(missed)) if missed else 0


def missed_by(line: Mapping[str, Any], select: str) -> float:
    """What weights are chosen for being the smallest of: NLL and ponder cost in nats, or share of errors.

    >>> line = {"nll": 0.5, "accuracy": 0.75, "ponder": 0.25}
    >>> missed_by(line, "nll"), missed_by(line, "accuracy")
    (0.75, 0.25)
    """
    cost: float = line["nll"] + line.get("ponder", 0.0) if select == "nll" else 1 - line["accuracy"]
    return cost


def convergence(log: Log) -> tuple[int, float]:
    """First checked iteration whose validation NLL is within 0.01 nats of the run's best, and its seconds.

    >>> checks = ((0, 0.7), (100, 0.309), (200, 0.3))
    >>> convergence([{"iteration": i, "seconds": i / 10, "nll": nll} for i, nll in checks])
    (100, 10.0)
    """
    if not log:
        raise CheckpointError("expected a log of the training run, found none; train again")
    best = min(line["nll"] for line in log)
    first = next(line for line in log if line["nll"] <= best + CONVERGED_WITHIN)
    return first["iteration"], first["seconds"]


def near_best_accuracy(log: Log) -> tuple[int, float, float]:
    """First checked iteration whose validation accuracy is within one point of the run's own best.

    Returns:
        The iteration, its seconds, and the best accuracy.

    Raises:
        CheckpointError: the log is empty.

    >>> checks = ((0, 0.1), (100, 0.895), (200, 0.88), (300, 0.9))
    >>> near_best_accuracy([{"iteration": i, "seconds": i / 10, "accuracy": a} for i, a in checks])
    (100, 10.0, 0.9)
    """
    if not log:
        raise CheckpointError("expected a log of the training run, found none; train again")
    best = max(line["accuracy"] for line in log)
    first = first_near(log, best)
    return first["iteration"], first["seconds"], best


def first_near(log: Log, accuracy: float) -> Mapping[str, Any]:
    """The first line of a log within one point of a validation accuracy that the run has reached.

    >>> log = [{"iteration": i, "accuracy": a} for i, a in ((0, 0.1), (100, 0.6), (200, 0.9))]
    >>> first_near(log, 0.5)["iteration"]
    100
    """
    return next(line for line in log if line["accuracy"] >= accuracy - NEAR_BEST - 1e-9)  # but for rounding
