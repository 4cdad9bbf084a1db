"""Watching a training that another process runs: its learning curves, and whether it is still going."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.logs import STEP, metrics_of
from data.owner import held_by
from data.progress import clock_time
from data.text_curves import text_curve
from hardattn.training.convergence import kept_line
from hardattn.training.ending import FIGURES, Standing, standing_of

DRAWN = {"nll": "validation NLL, nats", "accuracy": "validation accuracy"}
WIDTH, HEIGHT = 72, 8  # letters, lines


@dataclass(frozen=True)
class Look:
    """A training at a moment.

    Attributes:
        folder: of the run.
        standing: what its folder says.
        owner: the process that trains it; None: there is none.
    """

    folder: Path
    standing: Standing
    owner: str | None

    @property
    def is_running(self) -> bool:
        return self.owner is not None and not self.standing.is_over

    def state(self) -> str:
        """In a line: trained by whom, over and why, or left where it is."""
        if self.is_running:
            return f"{self.standing.done()}, by {self.owner}"
        if self.standing.is_over:
            return self.standing.why()
        return f"nobody is training it: left after {self.standing.done()}; the same command takes it up again"

    def newest(self) -> str:
        """The figures of the last check in a line, and those of the weights that are kept."""
        if not self.standing.log:
            return "no check yet" if not self.standing.is_over else "its log is missing or empty"
        *_, line = self.standing.log
        best, select = kept_line(self.standing.log, self.standing.select), self.standing.select
        figures = ", ".join(f"{name} {value:.4g}" for name, value in _shown(line).items())
        kept = f"best {FIGURES.get(select, select)} {best[select]:.4g} after {best[STEP]}"
        return f"iteration {line[STEP]}, {clock_time(line['seconds'])}: {figures}; {kept}"

    def text(self, width: int = WIDTH, height: int = HEIGHT) -> str:
        """All of it, with the curves of NLL and accuracy where there are two checks or more.

        Args:
            width: letters of a line.
            height: lines of a curve.
        """
        log = self.standing.log
        curves = [line for name in DRAWN if len(log) > 1 for line in _curve(log, name, width, height)]
        return "\n".join([f"{self.folder}: {self.state()}", *curves, self.newest()])


def look(folder: Path) -> Look:
    """The training in a folder, as it is now.

    Raises:
        CheckpointError: there is none.
    """
    owner = held_by(folder)  # first: who ends in between has written all
    return Look(folder, standing_of(folder), owner)


def watch(folder: Path, every: float = 5.0, sleep: Callable[[float], object] = time.sleep) -> Iterator[Look]:
    """Looks at once, and again after so many seconds, until the training is over or nobody trains it."""
    while True:
        seen = look(folder)
        yield seen
        if not seen.is_running:
            return
        sleep(every)


def _shown(line: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in metrics_of(line).items() if name != "seconds"}


def _curve(log: Sequence[dict[str, Any]], name: str, width: int, height: int) -> list[str]:
    steps, values = [line[STEP] for line in log], [line[name] for line in log]
    beside = 10  # letters for the numbers at the left
    return [DRAWN[name], *text_curve(steps, values, max(width - beside, 1), height)]
