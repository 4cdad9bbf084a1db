"""Recurrent cores by name: what a network remembers of its glimpses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hardattn.model.linear import Linear, linear, product
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
    """Gated recurrent unit (Cho et al. 2014), on the CPU by `_GruSequence`.

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
            return self.cell(features, state)
        return self.sequence(features[:, None], state)[:, 1]

    def sequence(self, features: Tensor, state: Tensor) -> Tensor:
        if features.device.type != "cpu":
            return super().sequence(features, state)
        cell = self.cell
        inward = linear(features, cell.weight_ih, cell.bias_ih)  # one product for all steps
        return _GruSequence.apply(inward, state, cell.weight_hh, cell.bias_hh)


class _GruSequence(torch.autograd.Function):
    r"""(B, T+1, D) states of a GRU, given what goes in, a = W x + b (B, T, 3D), for all steps.

    $c = U h + v, \; r, z = \sigma(a_{rz} + c_{rz}), \; n = \tanh(a_n + r c_n), \; h' = n + z (h - n)$

    as `nn.GRUCell` computes it, with the gradient by hand: that of U is one product over all steps.
    """

    @staticmethod
    def forward(ctx: Any, inward: Tensor, start: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        width = start.shape[1]
        states = [start.contiguous()]
        kept = []
        for a in inward.unbind(1):
            c = product(states[-1], weight, bias)
            gates = (a[:, : 2 * width] + c[:, : 2 * width]).sigmoid_()
            r, z = gates.chunk(2, 1)
            new = _tanh(torch.addcmul(a[:, 2 * width :], r, c[:, 2 * width :]))
            kept.append((gates, new, c[:, 2 * width :]))
            states.append(torch.lerp(new, states[-1], z))
        found = torch.stack(states, 1)
        ctx.kept = kept if any(ctx.needs_input_grad) else []
        ctx.save_for_backward(found, weight)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        states, weight = ctx.saved_tensors
        count, steps, width = len(states), states.shape[1] - 1, states.shape[2]
        inward, outward = (states.new_empty(count, steps, 3 * width) for _ in range(2))  # of a, of c
        total = gradient[:, -1]
        for t in reversed(range(steps)):
            gates, new, c = ctx.kept[t]
            r, z = gates.chunk(2, 1)
            own = inward[:, t]
            by_new = torch.ops.aten.tanh_backward(torch.addcmul(total, total, z, value=-1), new)
            by_gates = torch.cat([by_new * c, total * (states[:, t] - new)], 1)
            torch.ops.aten.sigmoid_backward.grad_input(by_gates, gates, grad_input=own[:, : 2 * width])
            own[:, 2 * width :] = by_new
            outward[:, t, : 2 * width] = own[:, : 2 * width]
            torch.mul(by_new, r, out=outward[:, t, 2 * width :])
            total = torch.addcmul(gradient[:, t], total, z) + product(outward[:, t], weight.t())
        flat = outward.flatten(0, 1)
        by_weight = product(flat.t(), states[:, :-1].flatten(0, 1).t())
        return inward, total, by_weight, flat.sum(0)


def _tanh(x: Tensor) -> Tensor:
    """In place, as 2 sigma(2x) - 1: a fifth of the time of `tanh` on a CPU, the same to 1e-7."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


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
