"""The amortised posterior q(label | glimpses, locations): a Pyro guide over sets of glimpses."""

from __future__ import annotations

import math

import pyro
import torch
from pyro.distributions import Categorical
from pyro.nn import PyroModule
from torch import Tensor, nn

FREQUENCIES = 4


def fourier_features(centres: Tensor) -> Tensor:
    """sin and cos of the normalised centre (..., 2) at 4 octaves: (..., 16)."""
    scales = math.pi / 2 * 2.0 ** torch.arange(FREQUENCIES, device=centres.device)
    angles = (centres[..., None] * scales).flatten(-2)
    return torch.cat([angles.sin(), angles.cos()], -1)


class GlimpseSetPosterior(PyroModule):
    r"""q(label | y_1..y_t, l_1..l_t), a function of the *set* of glimpses.

    $q = \mathrm{Categorical}(\mathrm{softmax}(W\,\mathrm{relu}(\sum_{i \le t} e(y_i, l_i) + b_t) / \tau_t))$

    Each glimpse is embedded by itself, so that one embedding of a completion's glimpse serves every
    history, and a candidate costs one addition and one small product. `tau` holds a temperature for each
    t, set by calibration on held-out images.

    It is a Pyro guide: `forward` samples the site "label". The posterior network of Harvey, Teng and Wood
    (arXiv 1906.05462) plays this part with a CNN on the masked image.

    Args:
        glimpse_shape: (S*C, G, G).
        classes: K.
        glimpses: largest t.
        width: size D of the embedding.

    >>> q = GlimpseSetPosterior((3, 16, 16), classes=2, glimpses=5)
    >>> y, centres = torch.rand(7, 3, 3, 16, 16), torch.zeros(7, 3, 2)
    >>> q.logits(q.embed(y, centres).sum(1), 3).shape
    torch.Size([7, 2])
    """

    def __init__(
        self, glimpse_shape: tuple[int, int, int], classes: int, glimpses: int, width: int = 64
    ) -> None:
        super().__init__()
        channels, size, _ = glimpse_shape
        self.patch = PyroModule[nn.Sequential](
            PyroModule[nn.Conv2d](channels, 24, 4, stride=2, padding=1),
            PyroModule[nn.ReLU](),
            PyroModule[nn.Conv2d](24, 48, 3, stride=2, padding=1),
            PyroModule[nn.ReLU](),
            PyroModule[nn.Flatten](),
            PyroModule[nn.Linear](48 * math.ceil((size // 2) / 2) ** 2, 2 * width),
        )
        self.place = PyroModule[nn.Linear](4 * FREQUENCIES, 2 * width)
        self.merge = PyroModule[nn.Linear](2 * width, width)
        self.head = PyroModule[nn.Linear](width, classes)
        self.dropout = PyroModule[nn.Dropout](0.3)
        self.count_bias = nn.Parameter(torch.zeros(glimpses + 1, width))
        self.register_buffer("temperature", torch.ones(glimpses + 1))

    def embed(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        """e(y, l): (..., D) for glimpses (..., S*C, G, G) at normalised centres (..., 2)."""
        lead = glimpses.shape[:-3]
        patch = self.patch(glimpses.reshape(-1, *glimpses.shape[-3:]) - 0.5)
        place = self.place(fourier_features(centres)).reshape(patch.shape)
        return self.merge(self.dropout(torch.relu(patch + place))).view(*lead, -1)

    def logits(self, total: Tensor, count: int | Tensor) -> Tensor:
        """Unnormalised log-probabilities (..., K) from summed embeddings (..., D) of `count` glimpses."""
        hidden = torch.relu_(total + self.count_bias[count])  # the sum is ours: no copy
        temperature = self.temperature[count]
        return self.head(hidden) / (temperature if isinstance(count, int) else temperature[..., None])

    def forward(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        """Samples "label" (B, T), one for every prefix of the glimpses (B, T, S*C, G, G)."""
        counts = torch.arange(1, glimpses.shape[1] + 1, device=glimpses.device)
        logits = self.logits(self.embed(glimpses, centres).cumsum(1), counts)  # (B, T, K)
        with pyro.plate("images", len(glimpses), dim=-2), pyro.plate("prefixes", len(counts), dim=-1):
            return pyro.sample("label", Categorical(logits=logits))


def negative_log_posterior(
    q: GlimpseSetPosterior, glimpses: Tensor, centres: Tensor, labels: Tensor
) -> Tensor:
    """Mean of -log q(label | first t glimpses) over images and prefixes, in nats.

    The loss of amortised inference: minimising it over (glimpses, label) pairs fits the guide to the true
    posterior, and its value bounds the expected posterior entropy from above (Barber and Agakov 2003;
    Foster et al. 2019, arXiv 1903.05480, the posterior estimator).
    """
    labels = labels[:, None].expand(glimpses.shape[:2])
    guide = pyro.poutine.condition(q, {"label": labels})
    trace = pyro.poutine.trace(guide).get_trace(glimpses, centres)
    return -trace.log_prob_sum() / labels.numel()
