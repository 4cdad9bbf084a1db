"""Layers of posteriors that are quicker in training on a CPU, and torch's own otherwise.

In evaluation torch's products are asked for many images at a time or for few, and say the same of each; those
of `data.linear` need not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear as plain_linear

from data.linear import linear

DRAWS = 4  # of 16 bits each, of which a number of 64 has so many


class Linear(nn.Linear):
    """`nn.Linear`, in training by `data.linear`.

    >>> Linear(3, 4)(torch.zeros(2, 3)).shape
    torch.Size([2, 4])
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.weight, self.bias)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(..., M) x W^T + b of x (..., D) with other weights W (M, D), b (M,)."""
        return (linear if self.training else plain_linear)(x, weight, bias)


class Dropout(nn.Dropout):
    """`nn.Dropout` whose draws have 16 bits: its share is a multiple of 1 / 65,536, its time a sixth.

    >>> layer, x = Dropout(0.5), torch.ones(1000)
    >>> sorted(set(layer(x).tolist())), torch.equal(layer.eval()(x), x)
    ([0.0, 2.0], True)
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        return x * self.factors(x.shape, x.dtype)

    def factors(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """0 of what is dropped, and of the rest what keeps the mean; of torch's own draws."""
        dropped, count = round(self.p * 2**16), shape.numel()
        numbers = torch.empty(-(-count // DRAWS), dtype=torch.int64).random_(-(2**63), None)
        kept = numbers.view(torch.int16)[:count] >= dropped - 2**15
        return (kept.to(dtype) * (2**16 / (2**16 - dropped))).view(shape)
