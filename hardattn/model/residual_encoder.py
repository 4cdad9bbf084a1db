"""Encoders of large glimpses: residual networks, which also give their map before it is averaged.

Shapes: B images, G glimpse side, C channels (scales counted in), D features, h and w sides of the map.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from data.errors import SettingsError
from data.vision import torchvision_models
from hardattn.model.convolutions import Residual, convolution, group_norm
from hardattn.model.registry import ENCODERS

STAGES = (16, 32)  # channels before the last stage, which has as many as there are features
# Largest map that a residual block works on: images of 128 pixels and crops of 54 then have the same network.
STEM_SIDE = 64
RESNET18_FEATURES, RESNET18_HALVED = 512, 5


class MapEncoder(nn.Module):
    """The contract of an encoder with a map: features are the mean of a map over its cells.

    Args:
        layers: from glimpses in [-2, 2] to maps.
        map_shape: (D, h, w).

    Attributes:
        map_shape: the same.
    """

    def __init__(self, layers: nn.Module, map_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.layers, self.map_shape = layers, map_shape

    def forward(self, glimpses: Tensor) -> Tensor:
        """(B, C, G, G) values in [0, 1] -> (B, D)."""
        return self.maps(glimpses).mean((2, 3))

    def maps(self, glimpses: Tensor) -> Tensor:
        """(B, C, G, G) -> (B, D, h, w)."""
        return self.layers(4 * glimpses - 2)


@ENCODERS.register("residual")
class ResidualGlimpse(MapEncoder):
    """What is seen, by three residual blocks of 16, 32 and D channels: for glimpses of some tens of pixels.

    Before them 3 x 3 convolutions of stride 2, one at least, halve the map until it has at most 64 a side.

    Args:
        channels: C of a glimpse.
        size: G.
        features: D.
        batch_norm: normalise over the batch, instead of over groups of channels.

    >>> import torch
    >>> encoder = ResidualGlimpse(1, 25, 64)
    >>> encoder(torch.zeros(2, 1, 25, 25)).shape, encoder.map_shape
    (torch.Size([2, 64]), (64, 4, 4))
    """

    def __init__(self, channels: int, size: int, features: int, *, batch_norm: bool = False) -> None:
        norm = nn.BatchNorm2d if batch_norm else group_norm
        layers, inputs, side = list[nn.Module](), channels, size
        while side > STEM_SIDE or not layers:
            layers += [*convolution(inputs, STAGES[0], 2, norm=norm), nn.ReLU()]
            inputs, side = STAGES[0], math.ceil(side / 2)
        layers.append(Residual(inputs, inputs, 1, norm=norm))
        for before, after in pairwise((*STAGES, features)):
            layers.append(Residual(before, after, 2, norm=norm))
            side = math.ceil(side / 2)
        super().__init__(nn.Sequential(*layers), (features, side, side))


@ENCODERS.register("resnet18")
class ResNet18Glimpse(MapEncoder):
    """What is seen, by the ResNet-18 of torchvision without its last layer, for photographs (D = 512).

    Args:
        channels: C of a glimpse.
        size: G.
        features: D, 512.
        batch_norm: normalise over the batch, as published, instead of over groups of channels.

    Raises:
        SettingsError: another D, or torchvision is missing.
    """

    def __init__(self, channels: int, size: int, features: int, *, batch_norm: bool = False) -> None:
        if features != RESNET18_FEATURES:
            raise SettingsError(
                f"expected --hidden {RESNET18_FEATURES} with --encoder resnet18, found {features}; change it"
            )
        network = _resnet18(batch_norm=batch_norm)
        if channels != network.conv1.in_channels:
            network.conv1 = nn.Conv2d(channels, network.conv1.out_channels, 7, 2, 3, bias=False)
        side = math.ceil(size / 2**RESNET18_HALVED)
        layers = nn.Sequential(*list(network.children())[:-2])  # neither average nor classifier
        super().__init__(layers, (features, side, side))


def _resnet18(*, batch_norm: bool) -> Any:
    """Untrained; raises SettingsError where torchvision is missing."""
    models = torchvision_models("--encoder resnet18")
    return models.resnet18(weights=None, norm_layer=None if batch_norm else group_norm)
