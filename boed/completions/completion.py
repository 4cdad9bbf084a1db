"""The contract of a stochastic image completion r(x | y_1..y_t) that makes images."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from boed.settings import FittedSettings
from data.dataset import Split
from data.geometry import Geometry


@dataclass(frozen=True)
class CompletionTask:
    """What a completion is made for.

    Attributes:
        bank: (M,) labelled images that q was not trained on.
        places: (L, 3) codebook.
        geometry: sensor and grid.
        settings: of the fit.
        symmetric: whether a mirrored image is as likely as the image.
        folder: of images to retrieve from, where one was named.
        path: of the file that its network is kept in.
        state: of the file that an interrupted training may be kept in.
    """

    bank: Split
    places: Tensor
    geometry: Geometry
    settings: FittedSettings
    symmetric: bool
    folder: Path | None
    path: Path
    state: Path


class Completion(Protocol):
    """Draws whole images that agree with the glimpses seen so far.

    Retrieval (`boed.completions.retrieval`) draws images of a labelled bank instead, which the search treats
    apart: they need not be made, and what is computed of them once serves all histories. What a `Completion`
    makes has no label.

    Attributes:
        noise: number of standard normal variables behind one completion.
        network: learned parameters, saved and moved with the approximations.
    """

    noise: int
    network: nn.Module

    def complete(self, glimpses: Tensor, locations: Tensor, noise: Tensor) -> Tensor:
        """Completions of B histories of t glimpses; all randomness is in `noise`.

        Args:
            glimpses: (B, t, S*C, G, G) float in [0, 1], finest scale first.
            locations: (B, t, 3) int64 places.
            noise: (B, N, self.noise) standard normal; the result for one image does not depend on the others.

        Returns:
            (B, N, H, W, C) uint8.
        """
        ...


@runtime_checkable
class WeightedCompletion(Completion, Protocol):
    """A completion that draws from weighted images: how many they are effectively can be told.

    Attributes:
        target_ess: effective sample size that the weights of a history are tempered to.
    """

    target_ess: float

    def sample_size(self, glimpses: Tensor, locations: Tensor) -> Tensor:
        """(B,) effective sample sizes of B histories; see `Completion.complete`."""
        ...


@runtime_checkable
class BankedCompletion(Completion, Protocol):
    """A completion that retrieves images, and can leave some of them out.

    Attributes:
        bank: the images.
    """

    bank: Split

    def without(self, rows: Tensor) -> AbstractContextManager[None]:
        """Leaves images (U,) of the bank out of all completions for a while."""
        ...
