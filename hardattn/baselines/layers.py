"""What networks on the whole image have in common: their contract, and the layers they are made of.

Shapes: B images, C channels, H and W their sides, E exits, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

Image = tuple[int, int, int]
"""(C, H, W) of an image."""
LAST_SIDE = 4  # largest map that is pooled by the plain networks
STEP = 4  # widths are multiples of it


class Baseline(nn.Module):
    """The contract: images in, logits of the class out.

        x' = 2 (x - mean x), the mean over all pixels and channels of the image

    is what the layers see: in [-2, 2], and without the overall brightness, which would otherwise be most of
    what a fully connected layer sees of a canvas that is mostly black.

    Args:
        layers: from images x' to logits.

    Attributes:
        exits: after how many of its parts it says the class, E.
    """

    exits = 1

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) values in [0, 1] -> (B, K) logits."""
        return self.layers(centred(images))

    def at_exits(self, images: Tensor, count: int | None = None) -> Tensor:
        """(B, C, H, W) -> (B, E, K) logits at the first `count` exits, at all of them by default."""
        return self(images)[:, None]


def centred(images: Tensor) -> Tensor:
    """x' of the images x, see `Baseline`."""
    return 2 * (images - images.mean((1, 2, 3), keepdim=True))


def averaged(channels: int, classes: int) -> list[nn.Module]:
    """Global average pooling and a linear layer: (B, channels, h, w) -> (B, K)."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


def scaled(channels: int, width: float) -> int:
    """A number of channels times a width multiplier: the nearest multiple of 4, at least 4.

    A multiplier of 1 leaves multiples of 4 as they are.

    >>> scaled(24, 1.0), scaled(24, 0.35), scaled(24, 0.01)
    (24, 8, 4)
    """
    return max(STEP, round(channels * width / STEP) * STEP)
