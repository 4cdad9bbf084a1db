"""An encoder that tells both what lies where in a glimpse, and what lies anywhere in it.

Shapes: B images, G glimpse side, C channels (scales counted in), D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from boed.posteriors.local_features import LocalFeatures
from hardattn.model.encoders import ConvGlimpse
from hardattn.model.registry import ENCODERS


@ENCODERS.register("local")
class LocalGlimpse(nn.Module):
    r"""What is seen: g = [ConvGlimpse(y), norm(max_{r,c} CNN(y)_{rc})], half of the features each.

    The first half keeps the layout, by which a glance says where to look next. The second reads a part
    wherever the glimpse happened to meet it, see `boed.posteriors.local_features.LocalFeatures`: of images
    that are not aligned it needs far fewer.

    Args:
        channels: C of a glimpse.
        size: G, at least 2.
        features: width D of the result.
        batch_norm: of the first half, see `hardattn.model.encoders.ConvGlimpse`.

    >>> LocalGlimpse(3, 16, 128)(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 128])
    """

    def __init__(self, channels: int, size: int, features: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        half = features // 2
        self.layout = ConvGlimpse(channels, size, features - half, batch_norm=batch_norm)
        self.local = LocalFeatures((channels, size, size), half)
        self.norm = nn.LayerNorm(half)

    def forward(self, glimpses: Tensor) -> Tensor:
        """(B, C, G, G) values in [0, 1] -> (B, D)."""
        return torch.cat([self.layout(glimpses), self.norm(self.local(glimpses))], -1)
