"""The contract of an EPE estimator: what it believes of the images that are designed for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from boed.completions.completion import Completion
from boed.completions.retrieval import RetrievalCompletion
from boed.estimators.bank import Bank
from boed.posteriors.posterior import Posterior
from boed.settings import FittedSettings
from data.geometry import Geometry


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
            totals: (B, D) combined statistics of q.
            count: number of glimpses after the candidate.
            wanted: (B, L) which places to score for each image; all of them without.
        """
        ...

    def completed(self, image: int, totals: Tensor) -> Completed:
        """Completions of one image for a search that looks further ahead; raises SettingsError without.

        Args:
            image: number among the B images.
            totals: (B, D) combined statistics of q.
        """
        ...


@dataclass(frozen=True)
class BeliefParts:
    """What a belief of B images is made from.

    Attributes:
        q: the posterior.
        bank: labelled images that q was not trained on, with their statistics.
        places: (L, 3) codebook.
        geometry: sensor and grid.
        score: one of `boed.estimators.registry.SCORES`.
        noise: (B, T) uniform numbers fixed by the image.
        completions: N.
        excluded: (B, M) bool, bank images that must not complete each image: versions of itself; or None.
        generator: the completion that makes images, where one does.
        retrieval: the completion from the bank, where it is not the tempered one.
        network: of the estimator, where it has one.
    """

    q: Posterior
    bank: Bank
    places: Tensor
    geometry: Geometry
    score: str
    noise: Tensor
    completions: int
    excluded: Tensor | None = None
    generator: Completion | None = None
    retrieval: RetrievalCompletion | None = None
    network: nn.Module | None = None


@dataclass(frozen=True)
class EstimatorTask:
    """What an estimator's network is learned from.

    Attributes:
        bank: makes the bank of labelled images that q was not trained on, with their statistics.
        rows: (M',) those of the bank to learn from; the weight of the map is chosen on the others.
        places: (L, 3) codebook.
        geometry: sensor and grid.
        settings: of the fit.
        score: one of `boed.estimators.registry.SCORES`.
        symmetric: whether a mirrored image is as likely as the image, and of the same class.
        aligned: whether the same part is at the same place in all images.
        state: of the file that an interrupted training may be kept in.
    """

    bank: Callable[[], Bank]
    rows: Tensor
    places: Tensor
    geometry: Geometry
    settings: FittedSettings
    score: str
    symmetric: bool
    aligned: bool
    state: Path


def image_maps(images: int, wanted: Tensor | None, score: Callable[[int, Tensor | None], Tensor]) -> Tensor:
    """(B, L) maps computed image by image, infinite where they are not wanted.

    Args:
        images: B.
        wanted: (B, L) bool; everything without.
        score: number of an image, numbers of places (L',) or None for all of them -> (L',) double.
    """
    if wanted is None:
        return torch.stack([score(image, None) for image in range(images)])
    maps = torch.full(wanted.shape, torch.inf, dtype=torch.float64, device=wanted.device)
    for image, here in enumerate(wanted):
        places = here.nonzero().view(-1)
        if len(places):
            maps[image, places] = score(image, places)
    return maps
