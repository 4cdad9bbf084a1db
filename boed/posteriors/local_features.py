"""What a glimpse shows wherever in it that is: a small convolutional network, pooled by its maximum."""

from __future__ import annotations

from pyro.nn import PyroModule
from torch import Tensor, nn

CHANNELS = (16, 32)  # of the layers before the last
HALVINGS = 2


def convolution(channels: int, features: int) -> list[nn.Module]:
    """A layer of 3 x 3 with batch normalisation."""
    return [
        PyroModule[nn.Conv2d](channels, features, 3, padding=1, bias=False),
        PyroModule[nn.BatchNorm2d](features),
        PyroModule[nn.ReLU](),
    ]


class LocalFeatures(PyroModule):
    r"""$f(y) = \max_{r,c} \mathrm{CNN}(y)_{rc} \ge 0$, features (..., F) of glimpses (..., S*C, G, G).

    A part is found wherever it lies in the glimpse, and the same network serves glimpses at all places and of
    all sides. The maximum over glimpses of these features is that of one network over all that was seen, as a
    CNN with global max pooling has over a whole image.

    Args:
        glimpse_shape: (S*C, G, G).
        features: F.

    >>> import torch
    >>> features = LocalFeatures((3, 16, 16), 96)
    >>> features(torch.rand(7, 5, 3, 16, 16)).shape
    torch.Size([7, 5, 96])
    """

    def __init__(self, glimpse_shape: tuple[int, int, int], features: int) -> None:
        super().__init__()
        channels, size, _ = glimpse_shape
        missing = -size % 2**HALVINGS  # so that whole cells are left after each halving
        widths = (channels, *CHANNELS, features)
        layers: list[nn.Module] = [PyroModule[nn.ZeroPad2d]((0, missing) * 2)]
        for number, pair in enumerate(zip(widths, widths[1:], strict=False)):
            halved = [PyroModule[nn.MaxPool2d](2)] if number else []
            layers += [*halved, *convolution(*pair)]
        self.layers = PyroModule[nn.Sequential](*layers)

    def forward(self, glimpses: Tensor) -> Tensor:
        """(..., F), from values in [0, 1]."""
        lead = glimpses.shape[:-3]
        maps = self.layers(glimpses.reshape(-1, *glimpses.shape[-3:]) - 0.5)
        return maps.flatten(2).amax(-1).view(*lead, -1)
