"""The contract of an EPE estimator: what it believes of the images that are designed for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
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

    def own_map(self, totals: Tensor, count: int, wanted: Tensor | None = None) -> Tensor:
        """(B, L) expected score in nats of each place as glimpse number `count`, at least the second.

        It is infinite where it is not wanted.

        Args:
            totals: (B, D) summed statistics of q.
            count: number of glimpses after the candidate.
            wanted: (B, L) which places to score for each image; all of them without.
        """
        ...

    def completed(self, image: int) -> Completed:
        """Completions of one image for a search that looks further ahead; raises SettingsError without."""
        ...


def image_maps(images: int, wanted: Tensor | None, score: Callable[[int, Tensor | None], Tensor]) -> Tensor:
    """(B, L) maps computed image by image, infinite where they are not wanted.

    Args:
        images: B.
        wanted: (B, L) bool; everything without.
        score: number of an image, numbers of places (L',) or None for all of them -> (L',) double.
    """
    if wanted is None:
        return torch.stack([score(image, None) for image in range(images)])
    found = torch.full(wanted.shape, torch.inf, dtype=torch.float64, device=wanted.device)
    for image, here in enumerate(wanted):
        places = here.nonzero().view(-1)
        if len(places):
            found[image, places] = score(image, places)
    return found
