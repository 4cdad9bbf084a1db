"""How a stated time is shared out: what a stage may take is decided when it begins, by the time that is left.

So a stage that was quicker than expected leaves its time to those after it, and one that was slower takes of
theirs. What was decided is kept: an interrupted benchmark is taken up with the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from data.errors import CheckpointError, SettingsError
from data.files import write_json
from hardattn.training import checkpoint

FILE, MINUTES = "times.json", "minutes"
SHARES: Mapping[str, float] = {"fit": 0.3, "judges": 0.15, "networks": 0.45, "rest": 0.1}
"""Of the time, in the order of the stages; evaluation of the networks and the report have the rest."""
LEAST = 0.25  # of its share of the whole that a stage has, however late it is


class Schedule:
    """The time of a benchmark.

    Args:
        folder: keeps what is decided.
        minutes: of everything.
        began: when it began, by the clock; None: now.
        clock: seconds.

    Raises:
        SettingsError: no time, or no end of it.
        CheckpointError: another time was asked for in this folder before.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     schedule = Schedule(Path(folder), 10, began=0.0, clock=lambda: 60.0)  # a minute has passed
    ...     round(schedule.seconds("fit")), round(schedule.seconds("rest"))
    (162, 540)
    """

    def __init__(
        self,
        folder: Path,
        minutes: float,
        *,
        began: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < minutes < math.inf:
            raise SettingsError(f"expected finite minutes above 0, found {minutes:g}; change --minutes")
        self.path, self.total, self.clock = folder / FILE, 60 * minutes, clock
        self.began = clock() if began is None else began
        self._known = checkpoint.read_json(self.path) if self.path.exists() else {MINUTES: minutes}
        if self._known.get(MINUTES) != minutes:
            raise CheckpointError(
                f"expected --minutes {self._known.get(MINUTES)} in {folder}, as it was begun with, found "
                f"{minutes:g}; use the same --minutes, or another --run folder"
            )

    def seconds(self, stage: str) -> float:
        """What a stage that begins now may take: its share of what is left for it and those after it."""
        names = list(SHARES)
        later = sum(SHARES[name] for name in names[names.index(stage) :])
        left = self.total - (self.clock() - self.began)
        return max(left * SHARES[stage] / later, self.total * SHARES[stage] * LEAST)

    def kept(self, name: str, decide: Callable[[], float]) -> float:
        """What was decided before under a name, or else is decided now."""
        if name not in self._known:
            self._known[name] = decide()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, self._known)
        value: float = self._known[name]
        return value

    def now(self) -> str:
        """How much has passed, of how much.

        >>> Schedule(Path("none"), 10, began=0.0, clock=lambda: 75.0).now()
        '1:15 of 10:00'
        """
        passed, whole = (divmod(round(each), 60) for each in (self.clock() - self.began, self.total))
        return f"{passed[0]}:{passed[1]:02d} of {whole[0]}:{whole[1]:02d}"
