"""What is told how a training goes: the contract of experiment trackers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Parameter = str | int | float | bool


class Tracker(Protocol):
    """Is told the figures of a training as it goes; of an own object this method is enough.

    >>> class Printer:
    ...     def log(self, metrics: Mapping[str, float], step: int) -> None:
    ...         print(step, metrics)
    >>> tracker: Tracker = Printer()
    >>> tracker.log({"nll": 0.5}, 100)
    100 {'nll': 0.5}
    """

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Figures by their names in the log of the training, after `step` iterations.

        Of a network those of the validation images (`nll` in nats, `accuracy`), the seconds of training and
        the terms of the loss; of a fit the loss of what is learned.
        """
        ...


class RunTracker(ABC):
    """A tracker that keeps a whole run, under a name of `data.tracking.registry.TRACKERS`.

    Whatever it raises is said in one line, and the training goes on.

    Args:
        run: that begins, or is taken up.

    Attributes:
        package: that has to be installed, which an extra of the same name as the tracker does; "": none.
        run: by what it finds its run again when the training is taken up.
    """

    package: ClassVar[str] = ""
    run: str = ""

    @abstractmethod
    def __init__(self, run: TrackedRun) -> None: ...

    @abstractmethod
    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """See `Tracker`; `step` may start anew with other figures."""

    def parameters(self, values: Mapping[str, Parameter]) -> None:
        """What was chosen about the run: told first, and again when it is taken up."""
        return

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """A picture of the run after `step` iterations."""
        return

    def close(self, finished: bool) -> None:
        """Nothing more is told now: the training is finished, or it was interrupted and may be taken up."""
        return


@dataclass(frozen=True)
class TrackedRun:
    """The run that a tracker is to keep.

    Attributes:
        folder: of the run, where a tracker may put files under a name of its own.
        known: the tracker's `run` of a training that is taken up; None: it begins.
    """

    folder: Path
    known: str | None = None

    @property
    def name(self) -> str:
        """Of the run, among those of its project.

        >>> run = TrackedRun(Path("runs/digits/hardattn-ram-0"))
        >>> run.project, run.name
        ('digits', 'hardattn-ram-0')
        """
        return self.folder.resolve().name

    @property
    def project(self) -> str:
        """Of the runs that are compared: the folder that they are in."""
        return self.folder.resolve().parent.name
