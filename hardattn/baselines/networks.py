"""Networks that see the whole image at once: the rivals of those that look through glimpses.

Shapes: B images, C channels, H and W their sides, K classes.
"""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from data.errors import SettingsError
from data.plugins import options_of
from hardattn.baselines.choices import MEAN
from hardattn.baselines.layers import LAST_SIDE, Baseline, Image, read_out, scaled
from hardattn.baselines.registry import BASELINES
from hardattn.model.convolutions import Residual, convolution

UNITS = 256  # of the hidden layers of Mnih et al. 2014
FILTERS, KERNEL, STRIDE = 8, 10, 5  # of their convolution
SMALLEST = 13  # image that two 5 x 5 convolutions of stride 2 leave a pixel of
STEM_SIDE = 56  # largest map that a residual block works on
STAGES = (16, 32, 64)
WIDEST = 64


@BASELINES.register("fc")
def fully_connected(image: Image, classes: int, *, hidden: int = UNITS) -> Baseline:
    """Two rectified hidden layers of one width, logits = W'' relu(W' relu(W x)).

    In Mnih et al. 2014, section 4.1, the width is 64 or 256.

    >>> import torch
    >>> fully_connected((1, 28, 28), 10, hidden=64)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    return Baseline(
        nn.Flatten(),
        nn.Linear(math.prod(image), hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


@BASELINES.register("conv")
def convolutional(image: Image, classes: int, *, hidden: int = UNITS) -> Baseline:
    """8 filters of 10 x 10 at stride 5, then 256 units, rectified both: Mnih et al. 2014, section 4.1.

    Raises:
        SettingsError: the image is smaller than a filter.

    >>> import torch
    >>> convolutional((1, 60, 60), 10)(torch.zeros(2, 1, 60, 60)).shape
    torch.Size([2, 10])
    """
    channels, *sides = image
    if min(sides) < KERNEL:
        raise SettingsError(
            f"expected images of at least {KERNEL} pixels a side for --baseline conv, found {min(sides)}; "
            "take another baseline"
        )
    places = math.prod((side - KERNEL) // STRIDE + 1 for side in sides)
    return Baseline(
        nn.Conv2d(channels, FILTERS, KERNEL, STRIDE),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(FILTERS * places, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


@BASELINES.register("conv-dropout")
def convolutional_with_dropout(image: Image, classes: int, *, hidden: int = UNITS) -> Baseline:
    """Two rectified 5 x 5 convolutions of stride 2, dropout, two linear layers: that of a case study of RAM.

    Published are the layers and where they are rectified, not their sizes: 16 and 32 channels, a dropout of
    0.5 are ours.

    Raises:
        SettingsError: the image is too small for both.

    >>> import torch
    >>> convolutional_with_dropout((1, 60, 60), 10)(torch.zeros(2, 1, 60, 60)).shape
    torch.Size([2, 10])
    """
    first, second, *_ = STAGES
    channels, *sides = image
    if min(sides) < SMALLEST:
        raise SettingsError(
            f"expected images of at least {SMALLEST} pixels a side for --baseline conv-dropout, found "
            f"{min(sides)}; take another baseline"
        )
    places = math.prod(((side - 3) // 2 - 3) // 2 for side in sides)
    return Baseline(
        *(nn.Conv2d(channels, first, 5, 2), nn.ReLU()),
        *(nn.Conv2d(first, second, 5, 2), nn.ReLU(), nn.Dropout()),
        nn.Flatten(),
        nn.Linear(second * places, hidden),
        nn.Linear(hidden, classes),
    )


@BASELINES.register("resnet")
def residual(image: Image, classes: int, *, pooling: str = MEAN) -> Baseline:
    """A residual network of under 100,000 parameters, three blocks of 16, 32 and 64 channels.

    Before them 3 x 3 convolutions of stride 2, one at least, halve the map until it has at most 56 a side;
    after them every channel is averaged over the map, so that the size of the image costs next to nothing,
    or pooled otherwise, see `read_out`.

    >>> import torch
    >>> residual((3, 224, 224), 2)(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 2])
    """
    first, *others = STAGES
    layers, inputs, side = list[nn.Module](), image[0], max(image[1:])
    while side > STEM_SIDE or not layers:
        layers += [*convolution(inputs, first, 2), nn.ReLU()]
        inputs, side = first, math.ceil(side / 2)
    layers += [Residual(first, first, 1)]
    layers += [Residual(inputs, outputs, 2) for inputs, outputs in zip(STAGES, others, strict=False)]
    return read_out(layers, image, classes, pooling)


@BASELINES.register("cnn")
def plain(image: Image, classes: int, *, width: float = 1.0, pooling: str = MEAN) -> Baseline:
    """A plain network: 3 x 3 convolutions of stride 2 with batch norm until the map has at most 4 a side.

    They have 16, 32, 64, 64, ... channels times `width`, each of which is averaged over the last map, or
    pooled otherwise, see `read_out`.

    >>> import torch
    >>> plain((1, 40, 40), 10)(torch.zeros(2, 1, 40, 40)).shape
    torch.Size([2, 10])
    """
    layers, inputs, outputs, side = list[nn.Module](), image[0], STAGES[0], max(image[1:])
    while side > LAST_SIDE or not layers:
        channels = scaled(outputs, width)
        layers += [*convolution(inputs, channels, 2), nn.ReLU()]
        inputs, outputs, side = channels, min(2 * outputs, WIDEST), math.ceil(side / 2)
    return read_out(layers, image, classes, pooling)


def with_option(option: str) -> list[str]:
    """The baselines that have an option, a keyword-only argument.

    >>> with_option("hidden")
    ['fc', 'conv', 'conv-dropout']
    """
    return [name for name, baseline in BASELINES.items() if option in options_of(baseline)]


def make_baseline(
    name: str,
    image: Image,
    classes: int,
    hidden: int | None = None,
    width: float | None = None,
    pooling: str | None = None,
) -> Baseline:
    """The network of that name, untrained.

    Args:
        name: a key of `BASELINES`.
        image: (C, H, W).
        classes: K.
        hidden: width of the hidden layers, of a baseline with this option; None: its default.
        width: multiplier of the channels, of a baseline with this option; None: its default.
        pooling: of the last map, see `read_out`, of a baseline with this option; None: its mean.

    Raises:
        SettingsError: no such baseline, it has no such option, a width is not above 0, there is no such
            pooling, or the image is too small.

    >>> import torch
    >>> make_baseline("fc", (1, 28, 28), 10, hidden=64)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    make = BASELINES.require(name)
    asked = {"hidden": hidden, "width": width, "pooling": pooling}
    given: dict[str, Any] = {option: value for option, value in asked.items() if value is not None}
    for option, value in given.items():
        if option not in options_of(make):
            raise SettingsError(
                f"expected no --{option} with --baseline {name}, found {value}; leave it out, or take "
                f"{' or '.join(with_option(option))}"
            )
        if option != "pooling" and not 0 < value < math.inf:
            raise SettingsError(f"expected a finite --{option} above 0, found {value:g}; choose another")
    return make(image, classes, **given)
