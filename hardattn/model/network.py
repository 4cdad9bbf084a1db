"""The recurrent hard-attention network: glimpse and location in, class and next location out.

Mnih, Heess, Graves, Kavukcuoglu 2014 (arXiv 1406.6247) for the architecture; Harvey, Teng, Wood
(arXiv 1906.05462) for its partial supervision. Shapes: B images, T glimpses, L grid locations,
K classes, G glimpse side, C channels (scales counted in), D hidden features, W width of the state, P numbers
that say where a glimpse was: row and column of its centre and, where there are several sides, its width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from data.errors import SettingsError
from data.grid import Grid
from data.plugins import options_of
from hardattn.model.choices import DEVIATION
from hardattn.model.heads import StoppingHeads, heads_by_name, require_said
from hardattn.model.locations import Locations
from hardattn.model.policies import Action, ActMode, DrawnPolicy, Policy
from hardattn.model.registry import COMBINATIONS, CORES, ENCODERS, POLICIES


class HardAttention(nn.Module):
    """Glimpse and location embeddings feed a recurrent core, whose state feeds four heads.

        h_0 learned,  h_t = core(m * combine(g(y_t), l_t), h_{t-1})
        l_{t+1} ~ policy(h_t),                   p(class | h_t) = softmax(W_c (m' * h_t))
        baseline(h_t) ~ E[return | h_t],         heads(h_t), see `hardattn.model.heads`

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
        batch_norm: in the encoder, instead of a layer norm; without effect on one that has no norm.
        core: a key of `hardattn.model.registry.CORES`.
        policy: a key of `hardattn.model.registry.POLICIES`.
        deviation: of a policy that has one, in normalised coordinates; None: learned.

    Attributes:
        coordinates: P.

    >>> from data.grid import LocationGrid
    >>> grid = LocationGrid.evenly((64, 64), 16, 7)
    >>> network = HardAttention(3, grid, classes=2)
    >>> state = network.initial(4)
    >>> state = network.step(torch.rand(4, 3, 16, 16), torch.zeros(4, 2), state)
    >>> network.classify(state).shape, network.act(state, "greedy").places.shape, network.gain(state).shape
    (torch.Size([4, 2]), torch.Size([4, 3]), torch.Size([4]))
    """

    def __init__(
        self,
        channels: int,
        grid: Grid,
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
        normed = {"batch_norm": batch_norm} if "batch_norm" in options_of(ENCODERS[encoder]) else {}
        self.what = ENCODERS[encoder](channels, grid.glimpse_size, hidden, **normed)
        self.coordinates = grid.normalised().shape[1]
        self.combine = COMBINATIONS[combine](
            hidden, **({"coordinates": self.coordinates} if grid.sides else {})
        )
        self.core = CORES[core](hidden)
        self.dropout = nn.Dropout(dropout)
        self.hidden = hidden
        options = {"deviation": deviation} if "deviation" in options_of(POLICIES[policy]) else {}
        self.policy_head: Policy = POLICIES[policy](hidden, grid, **options)
        self.class_head = nn.Linear(hidden, classes)
        self.baseline_head = nn.Linear(hidden, 1)
        self.heads = StoppingHeads(hidden)
        self.register_load_state_dict_pre_hook(heads_by_name)

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
        """(B, D) of glimpses (B, C, G, G) at normalised centres (B, P); of any number of steps at once."""
        return self.combine(self.what(glimpses), centres)

    def step(self, glimpses: Tensor, centres: Tensor, state: Tensor, mask: Tensor | None = None) -> Tensor:
        """State after one more glimpse: (B, C, G, G), (B, P) normalised, (B, W) -> (B, W)."""
        features = self.features(glimpses, centres)
        return self.core(features if mask is None else mask * features, state)

    def act(
        self,
        state: Tensor,
        mode: ActMode,
        generator: torch.Generator | None = None,
        taken: Tensor | None = None,
    ) -> Action:
        """Where to look next, of B states (B, W), see `hardattn.model.policies.Policy.act`."""
        return self.policy_head.act(self._policy_reads(state), mode, generator, taken)

    def log_prob(self, state: Tensor, places: Tensor, taken: Tensor | None = None) -> Tensor:
        """(B,) log pi of places (B, 3), of B states (B, W)."""
        return self.policy_head.log_prob(self._policy_reads(state), places, taken)

    def policy(self, state: Tensor, taken: Tensor | None = None) -> Locations:
        """The distribution over the next place, of B states (B, W).

        Raises:
            SettingsError: the policy has none.
        """
        if not isinstance(self.policy_head, DrawnPolicy):
            found = type(self.policy_head).__name__
            raise SettingsError(f"expected a policy that draws places, found {found}; take another --policy")
        return self.policy_head(self._policy_reads(state), taken)

    def _policy_reads(self, state: Tensor) -> Tensor:
        read = self.core.output(state)
        return read if self.policy_shapes_state else read.detach()

    def classify(self, state: Tensor, mask: Tensor | None = None) -> Tensor:
        """(..., K) logits of the class, of states (..., W)."""
        read = self.core.output(state)
        return self.class_head(read if mask is None else mask * read)

    def baseline(self, state: Tensor) -> Tensor:
        """(B,) expected return."""
        return self.baseline_head(self.core.output(state).detach()).squeeze(-1)

    def said(self, state: Tensor, taken: Tensor | None = None) -> dict[str, Tensor]:
        """What the stopping heads say of states (..., W), see `hardattn.model.heads.Said`.

        The gain is the policy's own, where it predicts that: it knows the places (..., L) that are taken.
        """
        said = self.heads(self.core.output(state))
        return said | {"gain": self._promised(state, taken)} if self.policy_head.predicts_gain else said

    def gain(self, state: Tensor, taken: Tensor | None = None) -> Tensor:
        """(...,) predicted information gain of the next glimpse, in nats, of states (..., W)."""
        return require_said(self.said(state, taken), "gain")

    @torch.no_grad()
    def _promised(self, state: Tensor, taken: Tensor | None) -> Tensor:
        now = Categorical(logits=self.classify(state).float(), validate_args=False).entropy()
        return self.policy_head.gain(self.core.output(state), now, taken)
