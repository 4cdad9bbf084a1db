"""Glimpse sequences of several images, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sequences:
    """Glimpse sequences of B images.

    Attributes:
        locations: (B, T, 3) int64 places.
        epe: (B, T) score of the chosen location in nats (an estimate of, or bound on, the EPE).
        entropy: (B, T+1) posterior entropy before the first and after each glimpse, in nats.
        epe_map: (B, T, L) score of every candidate in nats; infinite where it was seen already, or not
            scored. L is 0 where nothing was scored.
    """

    locations: Tensor
    epe: Tensor
    entropy: Tensor
    epe_map: Tensor

    @classmethod
    def unscored(cls, locations: Tensor, entropy: Tensor | None = None) -> Sequences:
        """Places (B, T, 3) that no score belongs to, and no entropy (B, T+1) unless it is given.

        >>> Sequences.unscored(torch.zeros(7, 3, 3, dtype=torch.int64)).epe_map.shape
        torch.Size([7, 3, 0])
        """
        count, steps = locations.shape[:2]
        unknown = torch.full((count, steps + 1), torch.nan, device=locations.device)
        entropy = unknown if entropy is None else entropy
        return cls(locations, unknown[:, 1:], entropy, unknown[:, 1:, None][..., :0])

    def take(self, rows: Tensor) -> Sequences:
        """Those of some of the images."""
        return Sequences(*(getattr(self, field.name)[rows] for field in fields(self)))

    def cpu(self) -> Sequences:
        """The same in the memory of the CPU."""
        return Sequences(*(getattr(self, field.name).cpu() for field in fields(self)))
