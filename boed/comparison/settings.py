"""What can be chosen about judges; nothing slow is imported."""

from __future__ import annotations

from dataclasses import dataclass

from boed.posteriors.registry import POSTERIORS
from data.errors import SettingsError

LARGEST_SEED = 2**31


@dataclass(frozen=True)
class JudgeSettings:
    """What can be chosen about judges.

    Args:
        iterations: of each training.
        judges: trainings per fold, whose probabilities are averaged.
        alike: each training image takes, of so many random sequences of a source, the one whose own image
            looks most like it there; 1 takes any.
        width: of the embedding.
        posterior: kind of judge, a name of `boed.posteriors.registry`. One that is taught by covering
            glimpses learns what a part says wherever it is, which sequences of other images would not show.
        balanced: whether training images are drawn with their classes as frequent as each other, so that a
            rare one is learned. What judges say is of the true shares all the same.
        seed: of everything that is drawn.
    """

    iterations: int = 3000
    judges: int = 1
    alike: int = 1
    width: int = 128
    posterior: str = "glimpse-set"
    balanced: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("iterations", "judges", "alike", "width"):
            if getattr(self, name) < 1:
                raise SettingsError(f"expected {name} of at least 1, found {getattr(self, name)}")
        if POSTERIORS.require(self.posterior).exact:
            raise SettingsError(
                f"expected a judge that learns, found {self.posterior}; choose another --posterior"
            )
        if not 0 <= self.seed < LARGEST_SEED:
            raise SettingsError(f"expected seed of at least 0 and below {LARGEST_SEED}, found {self.seed}")
