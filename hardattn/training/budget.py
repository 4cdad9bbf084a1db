"""How long a training lasts, and when it looks at the validation images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from data.errors import SettingsError

CHECK_EVERY = 100  # iterations
DEFAULT_ITERATIONS = 3000


@dataclass(frozen=True)
class Budget:
    """When training ends: after `epochs` (as many images as the training split has), or `minutes`.

    >>> Budget(epochs=2).total(1000, 128), Budget().total(1000, 128), Budget(minutes=1).total(1000, 128)
    (16, 3000, None)
    """

    epochs: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.minutes is not None:
            raise SettingsError("expected --epochs or --minutes, found both; leave one out")
        for value in (self.epochs, self.minutes):
            if value is not None and not (isinstance(value, Real) and 0 < float(value) < math.inf):
                raise SettingsError(f"expected a finite budget above 0, found {value!r}")

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
        """Whether to stop; a budget of minutes ends at a check, so that what was learnt is kept."""
        if self.minutes is not None:
            return is_check(iteration) and seconds >= 60 * self.minutes
        return iteration >= (total or 0)


def is_check(iteration: int) -> bool:
    """Whether validation and saving are due after so many iterations.

    >>> is_check(0), is_check(150), is_check(200)
    (True, False, True)
    """
    return iteration % CHECK_EVERY == 0
