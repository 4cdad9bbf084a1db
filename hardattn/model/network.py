"""The recurrent hard-attention network: glimpse and location in, class and next location out.

Mnih, Heess, Graves, Kavukcuoglu 2014 (arXiv 1406.6247) for the architecture; Harvey, Teng, Wood
(arXiv 1906.05462) for its partial supervision. Shapes: B images, T glimpses, L grid locations,
K classes, G glimpse side, C channels (scales counted in), D hidden features, W width of the state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from data.grid import LocationGrid
from hardattn.model.heads import Said, StoppingHeads
from hardattn.model.linear import Linear
from hardattn.model.policies import DEVIATION, EpePolicy, Locations
from hardattn.model.registry import COMBINATIONS, CORES, ENCODERS, POLICIES


class HardAttention(nn.Module):
    """Glimpse and location embeddings feed a recurrent core, whose state feeds four heads.

        h_0 learned,  h_t = core(m * combine(g(y_t), l_t), h_{t-1})
        pi(l_{t+1} | h_t) = policy(h_t),         p(class | h_t) = softmax(W_c (m' * h_t))
        baseline(h_t) ~ E[return | h_t],         stopping(h_t), see `hardattn.model.heads`

    The last two read a detached state: they predict, and do not shape it. The dropout masks m and m' are one
    for all glimpses of an image (Gal and Ghahramani 2016, arXiv 1512.05287), which is also drawn sooner.

    Args:
        channels: of a glimpse, scales counted in.
        grid: candidate locations, and the sizes of glimpse and image.
        classes: K.
        hidden: width D.
        dropout: of the inputs of core and classifier.
        policy_shapes_state: whether the policy's gradient goes on into the state it reads.
        encoder: of the glimpse, a key of `hardattn.model.registry.ENCODERS`.
        combine: of glimpse and location, a key of `hardattn.model.registry.COMBINATIONS`.
        batch_norm: in the encoder, instead of a layer norm.
        core: a key of `hardattn.model.registry.CORES`.
        policy: a key of `hardattn.model.registry.POLICIES`.
        deviation: of a Gaussian policy, in normalised coordinates; None: learned.

    >>> grid = LocationGrid.evenly((64, 64), 16, 7)
    >>> network = HardAttention(3, grid, classes=2)
    >>> state = network.initial(4)
    >>> state = network.step(torch.rand(4, 3, 16, 16), torch.zeros(4, 2), state)
    >>> network.classify(state).shape, network.policy(state).mode().shape, network.gain(state).shape
    (torch.Size([4, 2]), torch.Size([4, 3]), torch.Size([4]))
    """

    def __init__(
        self,
        channels: int,
        grid: LocationGrid,
        classes: int,
        *,
        hidden: int = 128,
        dropout: float = 0.0,
        policy_shapes_state: bool = True,
        encoder: str = "conv",
        combine: str = "modulate",
        batch_norm: bool = False,
        core: str = "gru",
        policy: str = "categorical",
        deviation: float | None = DEVIATION,
    ) -> None:
        super().__init__()
        self.policy_shapes_state = policy_shapes_state
        self.what = ENCODERS[encoder](channels, grid.glimpse_size, hidden, batch_norm=batch_norm)
        self.combine = COMBINATIONS[combine](hidden)
        self.core = CORES[core](hidden)
        self.dropout = nn.Dropout(dropout)
        self.hidden = hidden
        self.policy_head = POLICIES[policy](hidden, grid, deviation)
        self.class_head = Linear(hidden, classes)
        self.baseline_head = nn.Linear(hidden, 1)
        self.stopping_heads = StoppingHeads(hidden)

    @property
    def device(self) -> torch.device:
        return self.class_head.weight.device

    def initial(self, count: int) -> Tensor:
        """(B, W) state before any glimpse."""
        return self.core.initial(count)

    def mask(self, count: int) -> Tensor:
        """(B, D) factors of features, of the draws of dropout in training, and 1 otherwise."""
        ones = torch.ones(1, 1, device=self.device)
        if not self.training or self.dropout.p == 0:
            return ones
        return self.dropout(ones.expand(count, self.hidden))

    def features(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        """(B, D) of glimpses (B, C, G, G) at normalised centres (B, 2); of any number of steps at once."""
        return self.combine(self.what(glimpses), centres)

    def step(self, glimpses: Tensor, centres: Tensor, state: Tensor, mask: Tensor | None = None) -> Tensor:
        """State after one more glimpse: (B, C, G, G), (B, 2) normalised, (B, W) -> (B, W)."""
        features = self.features(glimpses, centres)
        return self.core(features if mask is None else mask * features, state)

    @property
    def predicts_epe(self) -> bool:
        """Whether its policy is an `EpeMap`, which takes no place twice and says what a glimpse gains."""
        return isinstance(self.policy_head, EpePolicy)

    def policy(self, state: Tensor, seen: Tensor | None = None) -> Locations:
        """Where to look next, of B states; an `EpeMap` leaves out places (B, L) that were seen."""
        read = self.core.output(state)
        found = self.policy_head(read if self.policy_shapes_state else read.detach())
        return found if seen is None else found.without(seen)

    def classify(self, state: Tensor, mask: Tensor | None = None) -> Tensor:
        """(..., K) logits of the class, of states (..., W)."""
        read = self.core.output(state)
        return self.class_head(read if mask is None else mask * read)

    def baseline(self, state: Tensor) -> Tensor:
        """(B,) expected return."""
        return self.baseline_head(self.core.output(state).detach()).squeeze(-1)

    def stopping(self, state: Tensor) -> Tensor:
        """(..., S) what the stopping heads say of states (..., W), see `hardattn.model.heads.Said`."""
        return self.stopping_heads(self.core.output(state))

    def gain(self, state: Tensor, seen: Tensor | None = None) -> Tensor:
        """(...,) predicted information gain of the next glimpse, in nats, of states (..., W).

        With an `EpeMap` it is the entropy of the prediction now less the smallest value of the map among the
        places that are not `seen` (..., L).
        """
        if self.predicts_epe:
            return self._promised(state, seen)
        return Said.of(self.stopping(state)).gain

    @torch.no_grad()
    def _promised(self, state: Tensor, seen: Tensor | None) -> Tensor:
        now = Categorical(logits=self.classify(state).float(), validate_args=False).entropy()
        epe = self.policy_head(self.core.output(state))
        return now - (epe if seen is None else epe.without(seen)).smallest()
