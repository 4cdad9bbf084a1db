"""A network on the whole image that hears one telling part: its features are pooled by their maximum.

Shapes: B images, C channels, H and W their sides, K classes.
"""

from __future__ import annotations

import math

from torch import nn

from boed.posteriors.local_features import LocalFeatures
from hardattn.baselines.layers import Baseline, Image, scaled
from hardattn.baselines.registry import BASELINES

SIDE, FEATURES = 64, 64  # largest that the network sees of an image, and what the classes are read from


@BASELINES.register("local")
def local(image: Image, classes: int, *, width: float = 1.0) -> Baseline:
    """3 x 3 convolutions of 16, 32 and 64 channels, halved by maxima; then the maximum over the map.

    The image is averaged down to at most 64 a side. What `cnn` and `resnet` average over the map is drowned
    where a small part tells the class and may lie anywhere; a maximum is not.

    Args:
        image: (C, H, W).
        classes: K.
        width: multiplier of the last features.

    >>> import torch
    >>> local((3, 128, 128), 2)(torch.zeros(2, 3, 128, 128)).shape
    torch.Size([2, 2])
    """
    channels, *sides = image
    smaller = math.ceil(max(sides) / SIDE)
    features = scaled(FEATURES, width)
    side = min(sides) // smaller
    return Baseline(
        nn.AvgPool2d(smaller), LocalFeatures((channels, side, side), features), nn.Linear(features, classes)
    )
