"""Convolutions with a norm, and the residual block: of encoders and of networks on the whole image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

GROUPS = 4  # of channels that are normalised together, where the batch is not

Norm = Callable[[int], nn.Module]
"""Channels -> the norm of a map with so many."""


def group_norm(channels: int) -> nn.Module:
    """Normalises a map over groups of its channels: what is seen of an image depends on no other.

    >>> group_norm(12).num_groups, group_norm(6).num_groups
    (4, 2)
    """
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def convolution(
    inputs: int, outputs: int, stride: int, *, kernel: int = 3, groups: int = 1, norm: Norm = nn.BatchNorm2d
) -> list[nn.Module]:
    """A convolution, 3 x 3 by default, and a norm, by default of its batch, which makes a bias needless."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [layer, norm(outputs)]


class Residual(nn.Module):
    """relu(f(x) + s(x)), f two convolutions: the basic block of He et al. 2016 (arXiv 1512.03385).

    The shortcut s is the identity, or a 1 x 1 convolution where size or channels change.

    >>> Residual(16, 32, stride=2)(torch.zeros(2, 16, 7, 7)).shape
    torch.Size([2, 32, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *convolution(inputs, outputs, stride, norm=norm),
            nn.ReLU(),
            *convolution(outputs, outputs, 1, norm=norm),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm(outputs))
        )

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.layers(maps) + self.shortcut(maps))
