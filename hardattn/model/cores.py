"""Recurrent cores by name: what a network remembers of its glimpses."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from hardattn.model.registry import CORES


class Core(nn.Module, ABC):
    """The contract: a state that takes in one feature vector after the other.

    Args:
        features: width D of what goes in and of what the heads read.

    Attributes:
        start: (W,) learned state before the first glimpse; W is D, or 2D where there is a cell.
    """

    start: nn.Parameter

    def initial(self, count: int) -> Tensor:
        """(B, W) state before any glimpse."""
        return self.start.expand(count, -1)

    @abstractmethod
    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        """(B, W) state after features (B, D) from the state (B, W) before."""

    def sequence(self, features: Tensor, state: Tensor) -> Tensor:
        """(B, T+1, W) the state (B, W) before and those after each of the features (B, T, D)."""
        states = [state]
        for t in range(features.shape[1]):
            states.append(self(features[:, t], states[-1]))
        return torch.stack(states, 1)

    def output(self, state: Tensor) -> Tensor:
        """(..., D) what the heads read of states (..., W)."""
        return state


@CORES.register("rnn")
class RnnCore(Core):
    """h_t = Rect(Linear(g_t) + Linear(h_{t-1})), as published (Mnih et al. 2014, section 4).

    >>> core = RnnCore(8)
    >>> core(torch.zeros(2, 8), core.initial(2)).shape
    torch.Size([2, 8])
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.start = nn.Parameter(0.1 * torch.rand(features))
        self.inward, self.onward = nn.Linear(features, features), nn.Linear(features, features, bias=False)
        with torch.no_grad():  # starts by remembering, as a rectified network can (Le et al. 2015)
            self.onward.weight.copy_(torch.eye(features))

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        return torch.relu(self.inward(features) + self.onward(state))

    def sequence(self, features: Tensor, state: Tensor) -> Tensor:
        states = [state]
        for inward in self.inward(features).unbind(1):  # one product for all steps
            states.append(torch.relu(inward + self.onward(states[-1])))
        return torch.stack(states, 1)


@CORES.register("gru")
class GruCore(Core):
    """Gated recurrent unit (Cho et al. 2014).

    >>> core = GruCore(8)
    >>> core(torch.zeros(2, 8), core.initial(2)).shape
    torch.Size([2, 8])
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, features)
        self.start = nn.Parameter(0.1 * torch.randn(features))

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        return self.cell(features, state)


@CORES.register("lstm")
class LstmCore(Core):
    """Long short-term memory (Hochreiter and Schmidhuber 1997); the state is output and cell side by side.

    >>> core = LstmCore(8)
    >>> state = core(torch.zeros(2, 8), core.initial(2))
    >>> state.shape, core.output(state).shape
    (torch.Size([2, 16]), torch.Size([2, 8]))
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(features, features)
        self.start = nn.Parameter(0.1 * torch.randn(2 * features))

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        hidden, cell = state.chunk(2, dim=1)
        return torch.cat(self.cell(features, (hidden, cell)), dim=1)

    def output(self, state: Tensor) -> Tensor:
        return state.chunk(2, dim=-1)[0]
