"""How far a training is, and why it has ended: what its folder says of it, whoever runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.logs import STEP, read_log
from data.settings import from_json
from data.tensors import load_about
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.convergence import kept_line

FIGURES = {"nll": "NLL", "accuracy": "accuracy"}  # by which weights are selected


@dataclass(frozen=True)
class Standing:
    """How far a training is.

    Attributes:
        log: its checks.
        saved: iterations that its state has.
        seconds: of training until then.
        total: iterations of the whole, where they are known.
        budget, select: of its settings.
    """

    log: list[dict[str, Any]]
    saved: int
    seconds: float
    total: int | None
    budget: Budget
    select: str

    @property
    def out_of_patience(self) -> bool:
        """Whether its last checks have ended it before its time."""
        return not self._is_spent and self.budget.out_of_patience(self.log, self.select)

    @property
    def is_over(self) -> bool:
        """Whether it is not to be taken up any more."""
        return self._is_spent or self.out_of_patience

    @property
    def _is_spent(self) -> bool:
        known = self.total is not None or self.budget.minutes is not None
        return known and self.budget.spent(self.saved, self.seconds, self.total)

    def done(self) -> str:
        """How many iterations, of how many.

        >>> Standing([], 300, 9.0, 3000, Budget(), "nll").done()
        '300 of 3000 iterations'
        """
        of = "" if self.total is None else f" of {self.total}"
        return f"{self.saved}{of} iterations"

    def why(self) -> str:
        """Why it is over.

        >>> log = [{"iteration": i, "nll": nll} for i, nll in ((0, 0.7), (100, 0.4), (200, 0.5), (300, 0.6))]
        >>> print(Standing(log, 300, 9.0, 3000, Budget(patience=2), "nll").why())
        stopped after 300 of 3000 iterations: 2 checks in a row have found no better NLL than after 100
        >>> print(Standing(log, 3000, 9.0, 3000, Budget(), "nll").why())
        finished: 3000 of 3000 iterations
        """
        if not self.out_of_patience:
            return f"finished: {self.done()}"
        best, figure = kept_line(self.log, self.select)[STEP], FIGURES.get(self.select, self.select)
        return (
            f"stopped after {self.done()}: {self.budget.patience} checks in a row have found no better "
            f"{figure} than after {best}"
        )


def standing_of(folder: Path) -> Standing:
    """What the folder of a training says, also while it runs.

    Raises:
        CheckpointError: it is none, or damaged.
    """
    path, last = folder / checkpoint.RUN, folder / checkpoint.LAST
    run = checkpoint.read_json(path)
    settings = run.get("settings", {})
    budget = from_json(Budget, settings.get("budget", {}), path=path, software=str(run.get("software", "")))
    begun: dict[str, Any] = {"iteration": 0, "seconds": 0.0}
    about = load_about(last, checkpoint.COMMAND) if last.exists() else begun
    log = [line for line in read_log(folder / checkpoint.LOG) if line[STEP] <= about["iteration"]]
    select = settings.get("recipe", {}).get("select", "nll")
    return Standing(log, about["iteration"], about["seconds"], about.get("total"), budget, select)


def early_end(folder: Path) -> str | None:
    """Why a training ended before its time; None where it did not."""
    standing = standing_of(folder)
    return standing.why() if standing.out_of_patience else None
