"""Networks from an image of any number of channels to features: a small one, and torchvision's."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from boed.posteriors.choices import BACKBONES, TORCHVISION
from data.errors import SettingsError
from data.vision import torchvision_models

LARGEST_MAP = 4  # side at which the small network stops to halve: what is left says where
SMALLEST_RESOLUTION = {"small": 2} | dict.fromkeys(TORCHVISION, 32)  # torchvision's halve five times


def make_backbone(
    name: str, colours: int, scales: int, *, resolution: int, width: int, pretrained: bool = False
) -> tuple[nn.Module, int]:
    """A feature extractor and the number of its features.

    It takes (N, S*(C+1), R, R), the C colours of all S scales first and then one mask per scale, to
    (N, features).

    Args:
        name: one of `BACKBONES`.
        colours: C.
        scales: S.
        resolution: R, in pixels.
        width: of the small network; torchvision's have their own.
        pretrained: torchvision's default weights (downloaded once) instead of random ones.

    Raises:
        SettingsError: no such backbone, an image too small for it, torchvision is missing, or the small
            network is wanted pretrained.

    >>> network, features = make_backbone("small", 3, 1, resolution=32, width=8)
    >>> network(torch.rand(2, 4, 32, 32)).shape, features
    (torch.Size([2, 64]), 64)
    """
    if name not in BACKBONES:
        raise SettingsError(f"expected a backbone of {', '.join(BACKBONES)}, found {name!r}; choose one")
    if resolution < SMALLEST_RESOLUTION[name]:
        raise SettingsError(
            f"expected a resolution of at least {SMALLEST_RESOLUTION[name]} for the backbone {name}, found "
            f"{resolution}; choose a higher one"
        )
    if name in TORCHVISION:
        return _torchvision_network(name, colours, scales, pretrained)
    if pretrained:
        raise SettingsError("expected a backbone of torchvision for pretrained weights, found 'small'")
    return small_network(scales * (colours + 1), resolution, width)


class MapAndPools(nn.Module):
    """All of a map (N, C, h, w), to say where something is, and its maximum and mean, to say that it is.

    >>> MapAndPools()(torch.tensor([[[[1.0, 3.0]]]])).tolist()
    [[1.0, 3.0, 3.0, 2.0]]
    """

    def forward(self, image: Tensor) -> Tensor:
        """(N, C*h*w + 2*C)"""
        return torch.cat([image.flatten(1), image.amax((-2, -1)), image.mean((-2, -1))], 1)


def small_network(channels: int, resolution: int, width: int) -> tuple[nn.Module, int]:
    """Strided convolutions down to a map of at most 4 x 4, then one dense layer on the map and its pools.

    Layer norm before the last rectifier keeps its units alive at high learning rates. There is no norm over
    the batch, so that the features of an image depend on no other, and none over the canvas, mostly empty.
    """
    layers: list[nn.Module] = []
    side, inputs, outputs = resolution, channels, width
    while side > LARGEST_MAP or not layers:
        layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]
        side, inputs, outputs = math.ceil(side / 2), outputs, min(2 * outputs, 4 * width)
    features = 8 * width
    dense = nn.Linear(inputs * (side**2 + 2), features)
    layers += [MapAndPools(), dense, nn.LayerNorm(features), nn.ReLU()]
    return nn.Sequential(*layers), features


def _torchvision_network(name: str, colours: int, scales: int, pretrained: bool) -> tuple[nn.Module, int]:
    """Without its classifier, and with a first convolution that takes our channels."""
    models, weights = torchvision_models(f"the backbone {name}"), "DEFAULT" if pretrained else None
    network: nn.Module = models.get_model(TORCHVISION[name], weights=weights)
    features = next(layer for layer in network.modules() if isinstance(layer, nn.Linear)).in_features
    classifier = list(network.named_children())[-1][0]
    setattr(network, classifier, nn.Identity())
    _widen(next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d)), colours, scales)
    return network, features


def _widen(first: nn.Conv2d, colours: int, scales: int) -> None:
    """Gives a first convolution on RGB the channels of S scales of C colours, and of their masks."""
    first.weight = nn.Parameter(widened(first.weight.detach(), colours, scales))
    first.in_channels = scales * (colours + 1)


def widened(weight: Tensor, colours: int, scales: int) -> Tensor:
    """Weights (O, S*(C+1), k, k) that see S equal scales, whatever the masks, as (O, 3, k, k) see one.

    Three colours keep their weights; any other number shares their sum, so that grey is seen as grey was. The
    scales share the weights equally. The masks' weights are zero until they are trained.

    >>> widened(torch.ones(1, 3, 1, 1), colours=1, scales=2).flatten().tolist()
    [1.5, 1.5, 0.0, 0.0]
    """
    if colours != 3:
        weight = (weight.sum(1, keepdim=True) / colours).repeat(1, colours, 1, 1)
    masks = weight.new_zeros(len(weight), scales, *weight.shape[2:])
    return torch.cat([weight.repeat(1, scales, 1, 1) / scales, masks], 1)
