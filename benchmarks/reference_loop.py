"""One step of the published procedure, written anew from its description: what designs are timed against.

Harvey, Teng and Wood (arXiv 1906.05462) score a candidate by a convolutional network on the masked image: for
every completion of what has been seen, and for every candidate, the pixels outside the glimpses are
blackened, the mask is added as a channel, and a DenseNet-121 (Huang et al. 2017, arXiv 1608.06993) gives the
class.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from boed.estimators.epe import entropy

BOTTLENECK = 4


class DenseLayer(nn.Module):
    """Adds `growth` channels to those it is given, through a bottleneck."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        inner = BOTTLENECK * growth
        self.layers = nn.Sequential(
            *(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, inner, 1, bias=False)),
            *(nn.BatchNorm2d(inner), nn.ReLU(), nn.Conv2d(inner, growth, 3, padding=1, bias=False)),
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.layers(features)], 1)


def densenet(
    channels: int, classes: int, *, growth: int = 32, blocks: tuple[int, ...] = (6, 12, 24, 16)
) -> nn.Sequential:
    """DenseNet-121 by default, untrained: images (N, C, H, W) to logits (N, K).

    >>> network = densenet(4, 2, growth=4, blocks=(1, 1)).eval()
    >>> network(torch.rand(3, 4, 32, 32)).shape
    torch.Size([3, 2])
    """
    width = 2 * growth
    stem = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
    layers: list[nn.Module] = [stem, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for number, size in enumerate(blocks):
        if number:
            layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=False)]
            layers += [nn.AvgPool2d(2)]
            width //= 2
        layers += [DenseLayer(width + n * growth, growth) for n in range(size)]
        width += size * growth
    head = [
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    ]
    return nn.Sequential(*layers, *head)


def masked(completions: Tensor, places: Tensor) -> Tensor:
    """(N, C+1, H, W): completions (N, C, H, W) where they are seen, zero elsewhere, and the mask.

    Args:
        places: (t, 3) row, col and side of the glimpses, inside the image.

    >>> masked(torch.ones(1, 1, 2, 3), torch.tensor([[0, 1, 1]]))[0, :, 0].tolist()
    [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    """
    mask = completions.new_zeros(len(completions), 1, *completions.shape[2:])
    for row, col, side in places.tolist():
        mask[..., row : row + side, col : col + side] = 1
    return torch.cat([completions * mask, mask], 1)


def masked_batches(completions: Tensor, history: Tensor, candidates: Tensor, batch: int) -> Iterator[Tensor]:
    """The network's inputs for every candidate (L, 3) and every completion, at most `batch` at a time."""
    for candidate in candidates:
        places = torch.cat([history, candidate[None]])
        for some in torch.split(completions, batch):
            yield masked(some, places)


@torch.no_grad()
def published_epe(
    network: nn.Module, completions: Tensor, history: Tensor, candidates: Tensor, batch: int
) -> Tensor:
    r"""(L,) expected posterior entropies in nats of one step of one image.

    $\widehat{\mathrm{EPE}}(l) = \frac1N \sum_n H[q(\theta \mid \mathrm{mask}(x_n, l_{<t}, l))]$

    Args:
        network: (N, C+1, H, W) to logits (N, K), in evaluation mode.
        completions: (N, C, H, W) equally weighted.
        history: (t-1, 3) places seen so far.
        candidates: (L, 3) places.
        batch: inputs of the network at a time.
    """
    inputs = masked_batches(completions, history, candidates, batch)
    entropies = torch.cat([entropy(network(some)) for some in inputs])
    return entropies.view(len(candidates), len(completions)).mean(1)
