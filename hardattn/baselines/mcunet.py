"""A network on the whole image as searches for microcontrollers find them: MCUNet's.

Lin et al. 2020 (arXiv 2007.10319) search inverted residuals of mixed kernels and expansions together with the
resolution; what they find has few channels, wide kernels and small images. Written anew after the paper; the
mix of one such network is fixed here, resolution and `width` are left to the grid.
"""

from __future__ import annotations

from hardattn.baselines.choices import MEAN
from hardattn.baselines.layers import Baseline, Image, read_out
from hardattn.baselines.low_power import inverted_residuals
from hardattn.baselines.registry import BASELINES

STEM = 16
MIXED = (
    *((1, 8, (3,), 1), (3, 16, (5, 3), 2), (4, 24, (7, 3), 2), (5, 40, (5, 3), 2)),
    *((4, 48, (5, 3), 1), (5, 96, (7, 3), 2)),
)  # factor of expansion, channels, kernel of each block, stride


@BASELINES.register("mcunet")
def mcunet(image: Image, classes: int, *, width: float = 1.0, pooling: str = MEAN) -> Baseline:
    """Inverted residuals of kernels 3, 5 and 7, as the search of Lin et al. 2020 mixes them.

    Images of at most 64 a side are halved four times instead of five, as by `mobilenet_v2`.

    >>> import torch
    >>> mcunet((3, 32, 32), 2, width=0.5)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 2])
    """
    layers, _ = inverted_residuals(image, STEM, MIXED, width)
    return read_out(layers, image, classes, pooling)
