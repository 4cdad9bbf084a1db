"""The curves of a fit: what its trainings minimise, as lines of one log in its folder, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from torch import Tensor

from data.files import write_text
from data.logs import STEP, append, log_text, read_log
from data.tracking.following import Tell, following
from data.tracking.tracker import Tracker

LOG = "fit-log.jsonl"
EVERY = 100  # iterations that a line has the mean loss of
LOSS_OF_Q, LOSS_OF_COMPLETION, LOSS_OF_ESTIMATOR = "loss_q", "loss_completion", "loss_estimator"

_TOLD: ContextVar[Tell | None] = ContextVar("fit tracker", default=None)


@contextmanager
def fit_followed(
    tracker: Tracker | str | None, folder: Path, parameters: Callable[[], Mapping[str, Any]]
) -> Iterator[None]:
    """Within it a tracker is told the curves of the fit in `folder`, see `data.tracking.following`."""
    with following(tracker, folder / LOG, parameters) as tell:
        before = _TOLD.set(tell)
        try:
            yield
        finally:
            _TOLD.reset(before)


class Curve:
    """The loss of a training, as it is minimised: the mean of every 100 iterations is a line of the log.

    Lines are written where the state of the training is saved: one that is taken up goes on with them.

    Args:
        name: of the loss in the log.
        before: iterations that other trainings of the same curve have done.

    >>> curve = Curve("loss_q")
    >>> for loss in (0.5, 0.25):
    ...     curve.add(loss)
    >>> curve.end_of(100)
    >>> curve.lines
    [{'iteration': 100, 'loss_q': 0.375}]
    """

    def __init__(self, name: str, before: int = 0) -> None:
        self.name, self.before = name, before
        self.lines: list[dict[str, Any]] = []
        self._losses: list[Tensor | float] = []

    def take_up(self, folder: Path, iteration: int) -> None:
        """Drops what the log has of this curve after so many iterations; of another q it drops all."""
        start, path = self.before + iteration, folder / LOG
        if path.exists():
            anew = self.name == LOSS_OF_Q and start == 0
            kept = [line for line in read_log(path) if self.name not in line or line[STEP] <= start]
            write_text(path, log_text([] if anew else kept))

    def add(self, loss: Tensor | float) -> None:
        """The loss of one iteration."""
        self._losses.append(loss.detach() if isinstance(loss, Tensor) else loss)

    def end_of(self, iteration: int, last: bool = False) -> None:
        """So many iterations are done, perhaps all."""
        if self._losses and (last or iteration % EVERY == 0):
            mean = sum(map(float, self._losses)) / len(self._losses)
            self.lines.append({STEP: self.before + iteration, self.name: round(mean, 5)})
            self._losses = []

    def write(self, folder: Path) -> None:
        """Adds the new lines to the log."""
        append(folder / LOG, self.lines)
        self.lines = []


def tell() -> None:
    """Tells the tracker of this fit, if there is one, what the log has."""
    told = _TOLD.get()
    if told is not None:
        told()
