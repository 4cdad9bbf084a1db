"""Cores that keep every glimpse's features and fuse them anew after each: by attention, or the mean.

Tan et al. 2021 (arXiv 2111.02018). Shapes: B images, T glimpses, D features, N numbers carried along, W width
of the state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from hardattn.model.cores import Core
from hardattn.model.registry import CORES


@dataclass(frozen=True)
class Memory:
    """What a state (..., W) is made of: fusion, features of T glimpses, what is carried, how many there were.

    Attributes:
        glimpses: T; of more the first are forgotten.
        width: D.
        carried: N, numbers of the last glimpse that are kept for the policy.

    >>> memory = Memory(glimpses=2, width=1)
    >>> state = torch.zeros(1, memory.size)
    >>> for feature in (3.0, 5.0):
    ...     state = memory.taken(state, torch.tensor([[feature]]))
    >>> memory.features(state).flatten().tolist(), memory.seen(state).tolist()
    ([3.0, 5.0], [[True, True]])
    """

    glimpses: int
    width: int
    carried: int = 0

    @property
    def size(self) -> int:
        """W."""
        return sum(self._sizes)

    @property
    def _sizes(self) -> list[int]:
        return [self.width, self.glimpses * self.width, self.carried, 1]

    def output(self, state: Tensor) -> Tensor:
        """(..., D) the fusion."""
        return state[..., : self.width]

    def features(self, state: Tensor) -> Tensor:
        """(..., T, D) of each glimpse, 0 of those to come."""
        return state.split(self._sizes, -1)[1].unflatten(-1, (self.glimpses, self.width))

    def last(self, state: Tensor) -> Tensor:
        """(..., N) what was carried along with the last glimpse."""
        return state.split(self._sizes, -1)[2]

    def seen(self, state: Tensor) -> Tensor:
        """(..., T) which glimpses were taken."""
        return torch.arange(self.glimpses, device=state.device) < state[..., -1:]

    def taken(self, state: Tensor, features: Tensor) -> Tensor:
        """(B, W) the state after one more glimpse of features (B, D + N), its fusion still that before."""
        fused, before, _, count = state.split(self._sizes, -1)
        own, carried = features.to(state).split([self.width, self.carried], -1)
        slot = torch.arange(self.glimpses, device=state.device) == count % self.glimpses  # (B, T)
        slots = before.unflatten(-1, (self.glimpses, self.width))
        kept = torch.where(slot[..., None], own[:, None], slots).flatten(1)
        return torch.cat([fused, kept, carried, count + 1], -1)

    def fused(self, state: Tensor, output: Tensor) -> Tensor:
        """(B, W) the state with another fusion (B, D)."""
        return torch.cat([output.to(state), state[..., self.width :]], -1)


class MemoryCore(Core):
    """The contract of a core that keeps every glimpse's features; before any glimpse its fusion is learned.

    Args:
        features: D.
        glimpses: T, at most so many are remembered.
        carried: N, see `Memory`.

    Attributes:
        memory: how its states are laid out.
    """

    def __init__(self, features: int, *, glimpses: int, carried: int = 0) -> None:
        super().__init__()
        self.memory = Memory(glimpses, features, carried)
        self.start = nn.Parameter(0.1 * torch.randn(features))

    def initial(self, count: int) -> Tensor:
        return pad(self.start, (0, self.memory.size - self.memory.width)).expand(count, -1)

    def output(self, state: Tensor) -> Tensor:
        return self.memory.output(state)


@CORES.register("mean")
class MeanCore(MemoryCore):
    r"""$h_t = \frac1t \sum_{i \le t} f_i$: a linear classifier then averages its logits of each glimpse.

    >>> core = MeanCore(1, glimpses=3)
    >>> state = core(torch.tensor([[4.0]]), core(torch.tensor([[2.0]]), core.initial(1)))
    >>> core.output(state).tolist()
    [[3.0]]
    """

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        state = self.memory.taken(state, features)
        seen = self.memory.seen(state)[..., None]
        return self.memory.fused(state, (seen * self.memory.features(state)).sum(1) / seen.sum(1))


@CORES.register("attention")
class AttentionCore(MemoryCore):
    r"""$h_t = \mathrm{relu}(\mathrm{norm}(\mathrm{attention}(f_t; f_1, \dots, f_t)))$.

    One head: the last glimpse asks, keys and values are the features so far.

    >>> core = AttentionCore(8, glimpses=3)
    >>> state = core(torch.zeros(2, 8), core.initial(2))
    >>> state.shape, core.output(state).shape
    (torch.Size([2, 33]), torch.Size([2, 8]))
    """

    def __init__(self, features: int, *, glimpses: int, carried: int = 0) -> None:
        super().__init__(features, glimpses=glimpses, carried=carried)
        self.attention = nn.MultiheadAttention(features, 1, batch_first=True)
        self.norm = nn.LayerNorm(features)

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        state = self.memory.taken(state, features)
        kept, query = self.memory.features(state), features[:, None, : self.memory.width]
        fused, _ = self.attention(query.to(kept), kept, kept, key_padding_mask=~self.memory.seen(state))
        return self.memory.fused(state, self.norm(fused[:, 0]).relu())
