"""The recurrent hard-attention network: glimpse and location in, class and next location out.

Mnih, Heess, Graves, Kavukcuoglu 2014 (arXiv 1406.6247) for the architecture; Harvey, Teng, Wood
(arXiv 1906.05462) for its partial supervision. Shapes: B images, T glimpses, L grid locations,
K classes, G glimpse side, C channels (scales counted in), D hidden features, W width of the state, P numbers
that say where a glimpse was: row and column of its centre and, where there are several sides, its width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from data.errors import SettingsError
from data.grid import Grid
from data.linear import Linear
from data.plugins import options_of
from hardattn.model.choices import DEVIATION
from hardattn.model.fusion import Memory
from hardattn.model.halting import HaltingHead, mean_field
from hardattn.model.heads import StoppingHeads, heads_by_name, require_said
from hardattn.model.inference import InferenceNetwork
from hardattn.model.locations import Locations
from hardattn.model.policies import Action, ActMode, DrawnPolicy, Policy
from hardattn.model.registry import COMBINATIONS, CORES, ENCODERS, POLICIES


def _taken(factory: Callable[..., nn.Module], **offered: Any) -> dict[str, Any]:
    """Of what is offered the keywords that a factory takes."""
    return {name: value for name, value in offered.items() if name in options_of(factory)}


class HardAttention(nn.Module):
    """Glimpse and location embeddings feed a recurrent core, whose state feeds four heads.

        h_0 learned,  h_t = core(m * combine(g(y_t), l_t), h_{t-1})
        l_{t+1} ~ policy(h_t),                   p(class | h_t) = softmax(W_c (m' * h_t))
        baseline(h_t) ~ E[return | h_t],         heads(h_t), see `hardattn.model.heads`

    The last two read a detached state: they predict, and do not shape it. A network that halts has a head
    more, which shapes it, see `hardattn.model.halting`. The dropout masks m and m' are one
    for all glimpses of an image (Gal and Ghahramani 2016, arXiv 1512.05287), which is also drawn sooner.

    Args:
        channels: of a glimpse, scales counted in.
        grid: candidate locations, and the sizes of glimpse and image.
        classes: K.
        glimpses: T, for a core that keeps what it saw of each.
        hidden: width D of what is seen, and of the state where the combination does not widen it.
        dropout: of the inputs of core and classifier.
        policy_shapes_state: whether the policy's gradient goes on into the state it reads.
        encoder: of the glimpse, a key of `hardattn.model.registry.ENCODERS`.
        combine: of glimpse and location, a key of `hardattn.model.registry.COMBINATIONS`.
        batch_norm: in the encoder, instead of a layer norm; without effect on one that has no norm.
        core: a key of `hardattn.model.registry.CORES`.
        policy: a key of `hardattn.model.registry.POLICIES`.
        deviation: of a policy that has one, in normalised coordinates; None: learned.
        frozen: whether the encoder stays as it is in training, with the statistics of its norms; of one that
            has a `backbone` only that.
        halts: whether it is trained to halt, and predicts by the mean over its glimpses until then.
        infers: whether it has an inference network beside it, for training alone, see
            `hardattn.model.inference`.

    Attributes:
        coordinates: P.
        hidden: width of what the heads read.

    Raises:
        SettingsError: parts that do not go together.

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
        glimpses: int | None = None,
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
        frozen: bool = False,
        halts: bool = False,
        infers: bool = False,
    ) -> None:
        super().__init__()
        self.policy_shapes_state, self.frozen = policy_shapes_state, frozen
        normed = _taken(ENCODERS[encoder], batch_norm=batch_norm)
        self.what = ENCODERS[encoder](channels, grid.glimpse_size, hidden, **normed)
        self.coordinates = grid.normalised().shape[1]
        self.dropout, makes = nn.Dropout(dropout), COMBINATIONS[combine]
        self.combine = makes(hidden, **_taken(makes, grid=grid, coordinates=self.coordinates))
        self.hidden = width = getattr(self.combine, "width", hidden)
        self.core = CORES[core](
            width, **_taken(CORES[core], glimpses=glimpses, carried=self._carried(policy))
        )
        if POLICIES[policy].reads != "output" and self.memory is None:
            raise SettingsError(
                f"expected --core attention or mean with --policy {policy}, found {core}; take one"
            )
        offered = {"deviation": deviation, "memory": self.memory, "map_shape": self._map_shape}
        self.policy_head: Policy = POLICIES[policy](width, grid, **_taken(POLICIES[policy], **offered))
        self.class_head = Linear(width, classes)
        self.baseline_head = Linear(width, 1)
        self.heads = StoppingHeads(width)
        self.halting_head = HaltingHead(width) if halts else None
        self.auxiliary_head = Linear(hidden, classes) if self.memory else None
        makes_policy = partial(POLICIES[policy], width, grid, **_taken(POLICIES[policy], **offered))
        context = (channels, grid.glimpse_size, width, classes)
        self.inference = InferenceNetwork(*context, makes_policy()) if infers else None
        self._learned_before.requires_grad_(not frozen)
        self.register_load_state_dict_pre_hook(heads_by_name)

    @property
    def device(self) -> torch.device:
        return self.class_head.weight.device

    @property
    def memory(self) -> Memory | None:
        """How the states of a core that keeps every glimpse are laid out; None of one that does not."""
        return getattr(self.core, "memory", None)

    @property
    def _map_shape(self) -> tuple[int, int, int] | None:
        return getattr(self.what, "map_shape", None)

    def _carried(self, policy: str) -> int:
        """Numbers of the map that a policy reads, 0 where it reads none."""
        if POLICIES[policy].reads != "map":
            return 0
        if self._map_shape is None:
            raise SettingsError(f"expected --encoder residual or resnet18 with --policy {policy}; take one")
        if self.dropout.p:
            raise SettingsError(f"expected no --dropout with --policy {policy}, found {self.dropout.p:g}")
        return math.prod(self._map_shape)

    def train(self, mode: bool = True) -> Self:
        """As of any module; what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self._learned_before.eval()
        return self

    @property
    def _learned_before(self) -> nn.Module:
        """What of the encoder may be frozen."""
        return getattr(self.what, "backbone", self.what)

    def initial(self, count: int) -> Tensor:
        """(B, W) state before any glimpse."""
        return self.core.initial(count)

    def mask(self, count: int) -> Tensor:
        """(B, D) factors of features, of the draws of dropout in training, and 1 otherwise."""
        ones = torch.ones(1, 1, device=self.device)
        if not self.training or self.dropout.p == 0:
            return ones
        kept = torch.rand(count, self.hidden, device=self.device) >= self.dropout.p
        return kept / (1 - self.dropout.p)  # as `nn.Dropout`, in a third of its time

    def features(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        """(B, D) of glimpses (B, C, G, G) at normalised centres (B, P); of any number of steps at once.

        With the numbers of the map behind them, where the policy reads that.
        """
        if self.policy_head.reads != "map":
            return self.combine(self.what(glimpses), centres)
        maps = self.what.maps(glimpses)
        return torch.cat([self.combine(maps.mean((2, 3)), centres), maps.flatten(1)], 1)

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
        read = self.core.output(state) if self.policy_head.reads == "output" else state
        return read if self.policy_shapes_state else read.detach()

    def classify(self, state: Tensor, mask: Tensor | None = None) -> Tensor:
        """(..., K) logits of the class, of states (..., W)."""
        read = self.core.output(state)
        return self.class_head(read if mask is None else mask * read)

    def classify_along(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T+1, K) logits before any glimpse and after each, of states (B, T+1, W).

        Of a network that halts the latter are those of the mean over glimpses so far.
        """
        logits = self.classify(states, mask)
        if self.halting_head is None:
            return logits
        halt = self.halting_head(self.core.output(states[:, 1:]))
        return torch.cat([logits[:, :1].float(), mean_field(logits[:, 1:], halt)], 1)

    def auxiliary(self, state: Tensor) -> Tensor | None:
        """(..., T, K) class logits by each glimpse alone, of states (..., W); None without a memory."""
        if self.memory is None or self.auxiliary_head is None:
            return None
        return self.auxiliary_head(self.memory.features(state)[..., : self.auxiliary_head.in_features])

    def baseline(self, state: Tensor) -> Tensor:
        """(B,) expected return."""
        return self.baseline_head(self.core.output(state).detach()).squeeze(-1)

    def said(self, state: Tensor, taken: Tensor | None = None) -> dict[str, Tensor]:
        """What the stopping heads say of states (..., W), see `hardattn.model.heads.Said`.

        The gain is the policy's own, where it predicts that: it knows the places (..., L) that are taken.
        """
        read = self.core.output(state)
        said = self.heads(read) | ({} if self.halting_head is None else {"halting": self.halting_head(read)})
        return said | {"gain": self._promised(state, taken)} if self.policy_head.predicts_gain else said

    def gain(self, state: Tensor, taken: Tensor | None = None) -> Tensor:
        """(...,) predicted information gain of the next glimpse, in nats, of states (..., W)."""
        return require_said(self.said(state, taken), "gain")

    @torch.no_grad()
    def _promised(self, state: Tensor, taken: Tensor | None) -> Tensor:
        now = Categorical(logits=self.classify(state).float(), validate_args=False).entropy()
        return self.policy_head.gain(self.core.output(state), now, taken)
