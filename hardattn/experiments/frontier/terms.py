"""How long every network of a frontier is trained, and at which learning rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from data.errors import SettingsError
from hardattn.training.budget import Budget


@dataclass(frozen=True)
class Terms:
    """The same for every network, whoever it is.

    Attributes:
        minutes: of each; None: iterations decide, so that it does not matter what else the machine does.
        iterations: of each at most.
        patience: checks of the validation images without anything better that end a training sooner; None:
            none do.
        learning_rates: of which the validation images choose one for each network, on the first seed; none:
            the recipe's.

    Raises:
        SettingsError: neither minutes nor iterations, both, or none above 0.

    >>> Terms(minutes=2.0).words, Terms(iterations=800, patience=3).words
    ('2.0 minutes', 'at most 800 iterations')
    """

    minutes: float | None = None
    iterations: int | None = None
    patience: int | None = None
    learning_rates: Sequence[float] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rates", list(self.learning_rates))
        if (self.minutes is None) == (self.iterations is None):
            found = "none" if self.minutes is None else "both"
            raise SettingsError(f"expected either --minutes or --iterations, found {found}; give one")
        length = self.minutes if self.iterations is None else self.iterations
        if length is None or not 0 < length < math.inf:
            raise SettingsError(f"expected minutes or iterations above 0, found {length}; give some")

    @property
    def words(self) -> str:
        """For people."""
        if self.iterations is not None:
            return f"at most {self.iterations} iterations"
        return f"{self.minutes:.1f} minutes"

    @property
    def rates(self) -> list[float | None]:
        """Learning rates to try; None is the recipe's."""
        return list(self.learning_rates) or [None]

    def budget(self, images: int, batch_size: int) -> Budget:
        """Of one training, on so many images."""
        if self.iterations is None:
            return Budget(minutes=self.minutes, patience=self.patience)
        return Budget.of_iterations(self.iterations, images, batch_size, self.patience)
