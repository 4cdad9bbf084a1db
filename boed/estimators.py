"""The contract of an EPE estimator: what it believes of the images that are designed for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Completed:
    """Weighted completions of one image, as the search sees them.

    Attributes:
        statistics: (N, L, D) of q, at every place.
        labels: (N,) int64, or None where completions have none.
        weights: (N,) that sum to 1.
    """

    statistics: Tensor
    labels: Tensor | None
    weights: Tensor


class Belief(Protocol):
    """What an estimator knows of B images after t glimpses of each."""

    def observe(self, glimpses: Tensor, places: Tensor) -> None:
        """One more glimpse per image: (B, S*C, G, G) at the places (B,)."""
        ...

    def own_map(self, totals: Tensor, count: int, places: Tensor | None = None) -> Tensor:
        """(B, L) expected score in nats of each place as glimpse number `count`, at least the second.

        Args:
            totals: (B, D) summed statistics of q.
            count: number of glimpses after the candidate.
            places: (L',) numbers of the places to score; all of them without.
        """
        ...

    def completed(self, image: int) -> Completed:
        """Completions of one image for a search that looks further ahead; raises SettingsError without."""
        ...
