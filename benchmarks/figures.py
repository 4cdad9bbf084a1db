"""Figures of finished runs: convergence against REINFORCE, means over seeds, Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

from data.logs import read_log
from data.tensors import load_tensors
from hardattn.objectives.registry import METHODS
from hardattn.training import checkpoint
from hardattn.training.convergence import CONVERGED_WITHIN, Log, sooner

WITHIN = 0.005
WITHIN_NATS = 0.02


def cheapest(points: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The point of an accuracy-compute curve with the fewest glimpses that is as good as all T.

    As good: at most half a point of accuracy lost, and at most 0.02 nats of NLL. The NLL is the steadier of
    the two where the curve is that of a few hundred images.

    Args:
        points: with "rule", "threshold", "mean_glimpses", "accuracy", "nll".
    """
    full = max((p for p in points if p["rule"] == "fixed"), key=lambda p: p["threshold"])
    good = [
        p
        for p in points
        if p["accuracy"] >= full["accuracy"] - WITHIN and p["nll"] <= full["nll"] + WITHIN_NATS
    ]
    return min(good, key=lambda p: p["mean_glimpses"])


def stopping_point(folder: Path, evaluation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The test point of the threshold of the predicted gain that is `cheapest` on the validation images."""
    _, about = load_tensors(folder / checkpoint.MODEL, checkpoint.COMMAND)
    best = cheapest([point for point in about["stopping"] if point["rule"] in ("fixed", "gain")])
    key = (best["rule"], best["threshold"])
    return next(p for p in evaluation["curve"] if (p["rule"], p["threshold"]) == key)


@dataclass(frozen=True)
class Run:
    """One trained and evaluated network.

    Attributes:
        evaluation: the object of evaluation.json.
        log: the lines of log.jsonl.
        seconds: wall time by step, for example {"fit": 60, "generate": 30, "train": 240, "evaluate": 5}.
        point: of adaptive stopping, see `stopping_point`.
    """

    evaluation: Mapping[str, Any]
    log: Log
    seconds: Mapping[str, float]
    point: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path, seconds: Mapping[str, float]) -> Run:
        """The run in a folder that `hardattn train` and `hardattn evaluate` filled."""
        evaluation = json.loads((folder / "evaluation.json").read_text())
        log = list(read_log(folder / checkpoint.LOG))
        return cls(evaluation, log, seconds, stopping_point(folder, evaluation))

    def made_in(self) -> float:
        """Seconds to make its sequences."""
        return self.seconds.get("fit", 0.0) + self.seconds.get("generate", 0.0)


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return sum(values) / len(values)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The mean and, where there are several, each value.

    >>> spread([94.0, 94.5]), spread([3.0], 0)
    ('94.2 (94.0, 94.5)', '3')
    """
    each = ", ".join(f"{value:.{digits}f}" for value in values)
    return each if len(values) == 1 else f"{mean(values):.{digits}f} ({each})"


def deviation(values: Sequence[float]) -> str:
    """The mean and the standard deviation of a sample.

    >>> deviation([60.0, 62.0, 64.0])
    '62.0 ± 2.0'
    """
    return f"{mean(values):.1f} ± {stdev(values):.1f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, its columns padded to one width.

    >>> print(markdown(["row", "%"], [["a", "1.0"]]))
    | row | %   |
    | --- | --- |
    | a   | 1.0 |
    """
    cells = [list(head), *[list(row) for row in rows]]
    widths = [max(3, *(len(line[n]) for line in cells)) for n in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)


def accuracy_table(runs: Mapping[str, Sequence[Run]]) -> str:
    """Test accuracy after each glimpse (means), after the last one by seed, and where it stops."""
    steps = list(next(iter(runs.values()))[0].evaluation["accuracy_at"])
    head = [
        "",
        *(f"t = {t}, %" for t in steps[:-1]),
        f"t = {steps[-1]}, % (each seed)",
        "NLL, nats",
        "glimpses until stopped",
        "accuracy there, %",
        "MFLOPs",
    ]
    rows = []
    for label, group in runs.items():
        accuracy = {t: [100 * run.evaluation["accuracy_at"][t] for run in group] for t in steps}
        rows.append(
            [
                label,
                *(f"{mean(accuracy[t]):.1f}" for t in steps[:-1]),
                spread(accuracy[steps[-1]]),
                f"{mean([run.evaluation['nll_at'][steps[-1]] for run in group]):.3f}",
                f"{mean([run.point['mean_glimpses'] for run in group]):.2f}",
                f"{mean([100 * run.point['accuracy'] for run in group]):.1f}",
                f"{mean([run.point['mflops'] for run in group]):.2f}",
            ]
        )
    return markdown(head, rows)


def convergence_table(runs: Mapping[str, Sequence[Run]], reinforce: str) -> str:
    """Iterations and seconds to convergence, and how many times sooner than the REINFORCE row."""
    rows = []
    for label, group in runs.items():
        pairs = [sooner(run.log, other.log, run.made_in()) for run, other in against(runs, label, reinforce)]
        rows.append(
            [
                label,
                spread([run.evaluation["iterations_to_convergence"] for run in group], 0),
                spread([run.evaluation["seconds_to_convergence"] for run in group], 0),
                times([(pair.iterations, pair.reached) for pair in pairs]),
                times([(pair.seconds, pair.reached) for pair in pairs]),
                times([(pair.seconds_counted, pair.reached) for pair in pairs]),
            ]
        )
    head = ["", "iterations", "seconds", "times sooner, iterations", "seconds", "fit and generate counted"]
    return markdown(head, rows)


def time_table(runs: Mapping[str, Sequence[Run]]) -> str:
    """Wall time of every step in seconds, means over seeds."""
    steps = ("fit", "generate", "train", "evaluate")
    rows = []
    for label, group in runs.items():
        seconds = [[run.seconds[step] for run in group if run.seconds.get(step)] for step in steps]
        rows.append([label, *(f"{mean(values):.0f}" if values else "" for values in seconds)])
    return markdown(["seconds", *steps], rows)


def against(runs: Mapping[str, Sequence[Run]], label: str, reinforce: str) -> list[tuple[Run, Run]]:
    """Each run of a supervised row with the REINFORCE run of its seed; none for other rows or without it."""
    others = {run.evaluation["seed"]: run for run in runs.get(reinforce, ())}
    guided = [run for run in runs[label] if METHODS[run.evaluation["method"]].supervised]
    pairs = [(run, others.get(run.evaluation["seed"])) for run in guided]
    return [(run, other) for run, other in pairs if other is not None]


def times(ratios: Sequence[tuple[float, bool]]) -> str:
    """Ratios by seed; "> 12" where REINFORCE never got there.

    >>> times([(12.04, False), (9.5, True)])
    '> 12.0, 9.5'
    """
    return ", ".join(f"{ratio:.1f}" if reached else f"> {ratio:.1f}" for ratio, reached in ratios)


def caption(seeds: int, reinforce: str) -> str:
    """What the tables show."""
    several = f"means over {seeds} seeds, with the value of each" if seeds > 1 else "one seed"
    return (
        f"Test images, one trajectory each; {several}. "
        "Stopping: the predicted gain falls below the threshold that, on the validation images, takes the "
        f"fewest glimpses within {100 * WITHIN:g} points and {WITHIN_NATS} nats of all T. "
        "Convergence: first check, every 100 iterations, whose validation NLL is within "
        f"{CONVERGED_WITHIN} nats of the run's best. "
        f"Times sooner: what {reinforce!r} needed for that validation NLL over what the row needed, seed by "
        "seed; '>' where it never got there, with the length of its run in place of the time."
    )
