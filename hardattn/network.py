"""The recurrent hard-attention network: glimpse and location in, class and next location out.

Mnih, Heess, Graves, Kavukcuoglu 2014 (arXiv 1406.6247) for the architecture; Harvey, Teng, Wood
(arXiv 1906.05462) for its partial supervision. Shapes: B images, T glimpses, L grid locations,
K classes, G glimpse side, C channels (scales counted in), D hidden features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

FREQUENCIES = 3


class GlimpseNetwork(nn.Module):
    """What is seen: g = norm(W conv(conv(y))), two strided convolutions, a linear layer, a layer norm.

    Strides instead of pooling: a quarter of the work for the same accuracy. Without the norm the network
    stays at chance for hundreds of iterations.

    Args:
        channels: C of a glimpse.
        size: G, at least 2.
        features: width of the result.

    >>> GlimpseNetwork(3, 16, 128)(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 128])
    """

    def __init__(self, channels: int, size: int, features: int) -> None:
        super().__init__()
        side = (size // 2 + 1) // 2
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * side * side, features),
            nn.LayerNorm(features),
        )

    def forward(self, glimpses: Tensor) -> Tensor:
        """(B, C, G, G) values in [0, 1] -> (B, D)."""
        return self.layers(4 * glimpses - 2)


class LocationEmbedding(nn.Module):
    """Where it is seen: e = W [c, sin(2^f pi c), cos(2^f pi c)], c the normalised centre.

    Fourier features let a small network tell close places apart (Tancik et al. 2020, arXiv 2006.10739).

    >>> LocationEmbedding(128)(torch.zeros(2, 2)).shape
    torch.Size([2, 128])
    """

    def __init__(self, features: int, frequencies: int = FREQUENCIES) -> None:
        super().__init__()
        self.scales: Tensor
        self.register_buffer("scales", torch.pi * 2.0 ** torch.arange(frequencies), persistent=False)
        self.linear = nn.Linear(2 + 4 * frequencies, features)

    def forward(self, centres: Tensor) -> Tensor:
        """(B, 2) centres in [-1, 1] -> (B, D)."""
        angles = (centres[:, :, None] * self.scales).flatten(1)
        return self.linear(torch.cat([centres, angles.sin(), angles.cos()], dim=1))


class HardAttention(nn.Module):
    """Glimpse and location embeddings feed a GRU, whose state feeds four heads.

        h_0 learned,  h_t = GRU(dropout(relu(g(y_t) * (1 + a(l_t)) + b(l_t))), h_{t-1})
        pi(l_{t+1} | h_t) = softmax(W_l h_t),   p(class | h_t) = softmax(W_c dropout(h_t))
        baseline(h_t) ~ E[reward | h_t],        gain(h_t) ~ drop of the entropy by glimpse t+1, in nats

    The last two read a detached state: they predict, and do not shape it.

    Args:
        channels: of a glimpse, scales counted in.
        size: side of a glimpse in pixels.
        places: L, size of the grid.
        classes: K.
        hidden: width of the state.
        dropout: of the inputs of core and classifier.
        policy_shapes_state: whether the policy's gradient goes on into the state it reads.

    >>> network = HardAttention(3, 16, places=2500, classes=2)
    >>> state = network.initial(4)
    >>> state = network.step(torch.rand(4, 3, 16, 16), torch.zeros(4, 2), state)
    >>> network.classify(state).shape, network.policy(state).shape, network.gain(state).shape
    (torch.Size([4, 2]), torch.Size([4, 2500]), torch.Size([4]))
    """

    def __init__(
        self,
        channels: int,
        size: int,
        places: int,
        classes: int,
        *,
        hidden: int = 128,
        dropout: float = 0.0,
        policy_shapes_state: bool = True,
    ) -> None:
        super().__init__()
        self.policy_shapes_state = policy_shapes_state
        self.what = GlimpseNetwork(channels, size, hidden)
        self.where = LocationEmbedding(2 * hidden)
        self.core = nn.GRUCell(hidden, hidden)
        self.start = nn.Parameter(0.1 * torch.randn(hidden))
        self.dropout = nn.Dropout(dropout)
        self.policy_head = nn.Linear(hidden, places)
        self.class_head = nn.Linear(hidden, classes)
        self.baseline_head = nn.Linear(hidden, 1)
        self.gain_head = nn.Sequential(nn.Linear(hidden, 32), nn.ReLU(), nn.Linear(32, 1))

    def initial(self, count: int) -> Tensor:
        """(B, D) state before any glimpse."""
        return self.start.expand(count, -1)

    def step(self, glimpses: Tensor, centres: Tensor, state: Tensor) -> Tensor:
        """State after one more glimpse: (B, C, G, G), (B, 2) normalised, (B, D) -> (B, D)."""
        scale, shift = self.where(centres).chunk(2, dim=1)
        features = relu(self.what(glimpses) * (1 + scale) + shift)
        return self.core(self.dropout(features), state)

    def policy(self, state: Tensor) -> Tensor:
        """(B, L) logits of the next location."""
        return self.policy_head(state if self.policy_shapes_state else state.detach())

    def classify(self, state: Tensor) -> Tensor:
        """(B, K) logits of the class."""
        return self.class_head(self.dropout(state))

    def baseline(self, state: Tensor) -> Tensor:
        """(B,) expected reward."""
        return self.baseline_head(state.detach()).squeeze(1)

    def gain(self, state: Tensor) -> Tensor:
        """(B,) predicted information gain of the next glimpse, in nats."""
        return self.gain_head(state.detach()).squeeze(1)
