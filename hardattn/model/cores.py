"""Recurrent cores by name: what a network remembers of its glimpses."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from data.linear import Linear, linear
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
        self.inward, self.onward = Linear(features, features), Linear(features, features, bias=False)
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
    r"""Gated recurrent unit (Cho et al. 2014).

    $r, z = \sigma(W x + U h), \; n = \tanh(W x + r \, U h), \; h' = n + z (h - n)$, with biases.

    >>> core = GruCore(8)
    >>> core(torch.zeros(2, 8), core.initial(2)).shape
    torch.Size([2, 8])
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, features)
        self.start = nn.Parameter(0.1 * torch.randn(features))

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        if features.device.type != "cpu":
            return self.cell(features, state)  # there one kernel
        return self._gated(self._inward(features), state)

    def sequence(self, features: Tensor, state: Tensor) -> Tensor:
        if features.device.type != "cpu":
            return super().sequence(features, state)
        states = [state]
        for inward in self._inward(features).unbind(1):  # one product for all steps
            states.append(self._gated(inward, states[-1]))
        return torch.stack(states, 1)

    def _inward(self, features: Tensor) -> Tensor:
        """(..., 3D) what features (..., D) bring to the gates and to the new state."""
        return linear(features, self.cell.weight_ih, self.cell.bias_ih)

    def _gated(self, inward: Tensor, state: Tensor) -> Tensor:
        """(B, D) the next state, of what goes in (B, 3D) and the state (B, D) before."""
        width = 2 * state.shape[1]
        onward = linear(state, self.cell.weight_hh, self.cell.bias_hh)
        reset, update = (inward[:, :width] + onward[:, :width]).sigmoid().chunk(2, 1)
        new = torch.addcmul(inward[:, width:], reset, onward[:, width:]).tanh()
        kind = state.dtype  # of more digits than the others in mixed precision
        return torch.lerp(new.to(kind), state, update.to(kind))


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
