"""The contract of a stochastic image completion r(x | y_1..y_t) that makes images."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


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
