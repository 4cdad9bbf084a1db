"""What networks on the whole image have in common: their contract, and the layers they are made of.

Shapes: B images, C channels, H and W their sides, E exits, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from data.errors import SettingsError
from hardattn.baselines.choices import FLATTEN, MAX, MEAN, POOLINGS

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


def read_out(layers: Sequence[nn.Module], image: Image, classes: int, pooling: str = MEAN) -> Baseline:
    """The network of layers (B, C, H, W) -> (B, C', h, w), a pooled map and a linear layer -> (B, K).

    A mean over the map drowns one telling cell among many; a maximum hears it; a flattened map keeps where
    it was.

    Args:
        layers: up to the last map.
        image: (C, H, W).
        classes: K.
        pooling: one of `hardattn.baselines.choices.POOLINGS`.

    Raises:
        SettingsError: no such pooling.

    >>> layers = [nn.Conv2d(3, 8, 3, 2, 1)]
    >>> [read_out(layers, (3, 8, 8), 2, how).layers[-1].in_features for how in ("mean", "max", "flatten")]
    [8, 8, 128]
    """
    if pooling not in POOLINGS:
        raise SettingsError(f"expected a pooling of {', '.join(POOLINGS)}; found {pooling!r}")
    body = nn.Sequential(*layers)
    with torch.no_grad():
        last = body.eval()(torch.zeros(1, *image))  # (1, C', h, w); statistics of batches stay as they are
    body.train()
    features = last.numel() if pooling == FLATTEN else last.shape[1]
    pools: dict[str, list[nn.Module]] = {
        MEAN: [nn.AdaptiveAvgPool2d(1)],
        MAX: [nn.AdaptiveMaxPool2d(1)],
        FLATTEN: [],
    }
    return Baseline(*layers, *pools[pooling], nn.Flatten(), nn.Linear(features, classes))


def scaled(channels: int, width: float) -> int:
    """A number of channels times a width multiplier: the nearest multiple of 4, at least 4.

    A multiplier of 1 leaves multiples of 4 as they are.

    >>> scaled(24, 1.0), scaled(24, 0.35), scaled(24, 0.01)
    (24, 8, 4)
    """
    return max(STEP, round(channels * width / STEP) * STEP)
