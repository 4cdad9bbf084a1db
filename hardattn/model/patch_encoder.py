"""An encoder of a glimpse at a tenth of the cost: patches that do not overlap.

Shapes: B images, G glimpse side, C channels (scales counted in), D features.
"""

from __future__ import annotations

from torch import Tensor, nn

from data.errors import SettingsError
from data.linear import Linear
from hardattn.model.registry import ENCODERS

PATCH, CHANNELS = 4, 16


@ENCODERS.register("patches")
class PatchGlimpse(nn.Module):
    """What is seen: g = norm(W relu(P y)), P one linear map of every 4 x 4 patch to 16 channels.

    Patches are embedded as by Dosovitskiy et al. 2021 (arXiv 2010.11929); no pixel is read twice. With G = 16
    and C = 3 that costs 0.04 MFLOPs for D = 32, where `ConvGlimpse` costs 0.28.

    Args:
        channels: C of a glimpse.
        size: G, at least 4; pixels beyond the last whole patch are not used.
        features: width of the result.
        batch_norm: normalise over the batch, after the patches too, instead of over the features.

    Raises:
        SettingsError: the glimpse is smaller than a patch.

    >>> import torch
    >>> PatchGlimpse(3, 16, 32)(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 32])
    """

    def __init__(self, channels: int, size: int, features: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        if size < PATCH:
            raise SettingsError(
                f"expected glimpses of at least {PATCH} pixels with --encoder patches, found {size}; "
                "take another"
            )
        places = (size // PATCH) ** 2
        self.layers = nn.Sequential(
            nn.Conv2d(channels, CHANNELS, PATCH, PATCH),
            *([nn.BatchNorm2d(CHANNELS)] if batch_norm else []),
            nn.ReLU(),
            nn.Flatten(),
            Linear(CHANNELS * places, features),
            nn.BatchNorm1d(features) if batch_norm else nn.LayerNorm(features),
        )

    def forward(self, glimpses: Tensor) -> Tensor:
        """(B, C, G, G) values in [0, 1] -> (B, D)."""
        return self.layers(4 * glimpses - 2)
