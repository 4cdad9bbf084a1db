"""Which draws place the images of a split on canvases; what is judged may have some of its own."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from data.dataset import SPLITS
from data.errors import SettingsError, one_line

JUDGED = ("design", "test")
"""Splits whose placements `canvas_seed` changes: images that sequences are designed for, and test images."""


@dataclass(frozen=True)
class Placing:
    """Draws of places, clutter and backgrounds.

    While settings were chosen the placements of `canvas_seed` 0 were looked at, now and then those of test
    images too. With another one the same images with the same labels lie at places that no choice has met;
    what is learned from and chosen on, train and valid, stays as it is.

    Args:
        seed: of all splits.
        canvas_seed: of the splits `JUDGED` alone, from 0 on; 0: as `seed` has them.

    Raises:
        SettingsError: canvas_seed is not a whole number from 0 on.

    >>> old, new = Placing(0), Placing(0, canvas_seed=1)
    >>> [old.generator(split).random() == new.generator(split).random() for split in SPLITS]
    [False, True, True, False]
    """

    seed: int = 0
    canvas_seed: int = 0

    def __post_init__(self) -> None:
        value = self.canvas_seed
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
            raise SettingsError(
                f"expected canvas_seed as a whole number from 0 on, found {one_line(value)}; change it"
            )

    def generator(self, split: str) -> np.random.Generator:
        """For all images of a split, from the first on."""
        return np.random.default_rng([self.seed, SPLITS.index(split), *self.beside_seed(split)])

    def beside_seed(self, split: str) -> list[int]:
        """What makes the draws of a split others than those of its seed, if anything.

        >>> Placing(canvas_seed=3).beside_seed("test"), Placing(canvas_seed=3).beside_seed("train")
        ([3], [])
        """
        return [int(self.canvas_seed)] if self.canvas_seed and split in JUDGED else []
