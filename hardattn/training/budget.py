"""How long a training lasts, and when it looks at the validation images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

from data.errors import SettingsError
from hardattn.training.convergence import Log, checks_since_best

CHECK_EVERY = 100  # iterations
DEFAULT_ITERATIONS = 3000


@dataclass(frozen=True)
class Budget:
    """When training ends: after `epochs` (as many images as the training split has), or `minutes`.

    With `patience` it ends sooner, as soon as so many checks of the validation images in a row have found
    nothing better; what goes by the share of the budget, as the learning rate, goes by that of the whole.

    >>> Budget(epochs=2).total(1000, 128), Budget().total(1000, 128), Budget(minutes=1).total(1000, 128)
    (16, 3000, None)
    """

    epochs: float | None = None
    minutes: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.minutes is not None:
            raise SettingsError("expected --epochs or --minutes, found both; leave one out")
        for value in (self.epochs, self.minutes):
            if value is not None and not _is_length(value):
                raise SettingsError(f"expected a finite budget above 0, found {value!r}")
        if self.patience is not None and (type(self.patience) is not int or self.patience < 1):
            raise SettingsError(
                f"expected a --patience of at least 1 check, found {self.patience!r}; change it"
            )

    @classmethod
    def of_iterations(
        cls, iterations: int, images: int, batch_size: int, patience: int | None = None
    ) -> Budget:
        """So many iterations at most, as epochs of so many images.

        >>> Budget.of_iterations(50, 1000, 128).total(1000, 128)
        50
        """
        return cls(epochs=(iterations - 0.5) * batch_size / images, patience=patience)

    def total(self, images: int, batch_size: int) -> int | None:
        """Iterations, or None where time decides."""
        if self.minutes is not None:
            return None
        return DEFAULT_ITERATIONS if self.epochs is None else math.ceil(self.epochs * images / batch_size)

    def fraction(self, iteration: int, seconds: float, total: int | None) -> float:
        """How much of it is used, 0 to 1."""
        used = seconds / (60 * self.minutes) if self.minutes else iteration / (total or 1)
        return min(used, 1.0)

    def spent(self, iteration: int, seconds: float, total: int | None) -> bool:
        """Whether to stop, `seconds` being those of the last check; not before one iteration.

        >>> Budget(minutes=0.1).spent(0, 9.0, None), Budget(minutes=0.1).spent(1, 9.0, None)
        (False, True)
        """
        if self.minutes is not None:
            return iteration > 0 and seconds >= 60 * self.minutes
        return iteration >= (total or 0)

    def out_of_patience(self, log: Log, select: str) -> bool:
        """Whether the last checks of a log found nothing better, and were as many as the patience.

        >>> log = [{"nll": 0.7}, {"nll": 0.4}, {"nll": 0.4}, {"nll": 0.5}]
        >>> Budget(patience=2).out_of_patience(log, "nll"), Budget(patience=3).out_of_patience(log, "nll")
        (True, False)
        """
        return self.patience is not None and checks_since_best(log, select) >= self.patience


class TimeLimit:
    """So many minutes of the clock on the wall from now, for this call alone.

    The budget is that of the whole training, however many calls it takes.

    Args:
        minutes: above 0.
        clock: seconds.

    >>> TimeLimit(30).is_reached()
    False
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not _is_length(minutes):
            raise SettingsError(f"expected a finite time limit above 0 minutes, found {minutes!r}; change it")
        self.minutes, self.clock, self.until = minutes, clock, clock() + 60 * minutes

    def is_reached(self) -> bool:
        """Whether they have passed."""
        return self.clock() >= self.until


def _is_length(value: object) -> bool:
    return isinstance(value, Real) and 0 < float(value) < math.inf


def is_check(iteration: int) -> bool:
    """Whether validation and saving are due after so many iterations.

    >>> is_check(0), is_check(150), is_check(200)
    (True, False, True)
    """
    return iteration % CHECK_EVERY == 0
