"""Draws of a category that a GPU makes without the CPU waiting for it, as `torch.multinomial` does."""

from __future__ import annotations

import torch
from torch import Tensor


def drawn(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    """(B,) int64, each with a probability in proportion to its weight, of weights (B, L) of at least 0.

    By inverting the distribution function: L additions, not L random numbers.

    >>> drawn(torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]), torch.Generator().manual_seed(0)).tolist()
    [1, 0]
    """
    total = weights.cumsum(1)
    mark = torch.rand(len(total), 1, generator=generator, device=total.device) * total[:, -1:]
    index = torch.searchsorted(total, mark, right=True).squeeze(1)
    return index.clamp(max=total.shape[1] - 1)
