"""Heads that predict, after each glimpse, what stopping rules go by: `hardattn.stopping.rules` reads them.

All read a detached state, so that they predict and do not shape it: one training gives every rule, side by
side on the same network.

Shapes: B images, T glimpses, D hidden features, C ponder costs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from data.errors import SettingsError

PONDER_COSTS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Nats that a glimpse costs, of the heads that are trained with a cost."""
EPSILON = 0.01  # of Graves: halting need not reach 1 exactly
WIDTH = 32
OUTPUTS = {"gain": 1, "accuracy-gain": 1, "act": len(PONDER_COSTS), "stochastic": len(PONDER_COSTS)}


class Said(NamedTuple):
    """What the heads say before a glimpse, S numbers in all.

    Attributes:
        gain: (...,) drop of the cross-entropy by the next glimpse, nats: the information gain, see
            `hardattn.objectives.stopping.gain`.
        accuracy_gain: (...,) rise of the probability of being right by the next glimpse.
        halt: (..., C) halting probability of adaptive computation time, for each ponder cost.
        stop: (..., C) probability of stopping, for each ponder cost.
    """

    gain: Tensor
    accuracy_gain: Tensor
    halt: Tensor
    stop: Tensor

    @classmethod
    def of(cls, outputs: Tensor) -> Said:
        """What outputs (..., S) of `StoppingHeads` mean."""
        gain, accuracy_gain, halt, stop = outputs.split(list(OUTPUTS.values()), -1)
        return cls(gain.squeeze(-1), accuracy_gain.squeeze(-1), halt.sigmoid(), stop.sigmoid())


def require_said(said: Said | None) -> Said:
    """What the heads say; raises SettingsError where a network has none, or was not asked."""
    if said is None:
        raise SettingsError("expected a network with stopping heads, found one without; take another rule")
    return said


class StoppingHeads(nn.Module):
    """One small network for each of `OUTPUTS`, on what is read of a state.

    They are not told the prediction beside it: its logits are linear in the state, and telling them and their
    entropy made no stopping rule better.

    Args:
        hidden: width D of what is read.

    >>> said = Said.of(StoppingHeads(16)(torch.zeros(4, 5, 16)))
    >>> said.gain.shape, said.halt.shape == (4, 5, len(PONDER_COSTS))
    (torch.Size([4, 5]), True)
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(hidden, len(OUTPUTS) * WIDTH)  # of all of them at once
        self.last = nn.ModuleList(nn.Linear(WIDTH, outputs) for outputs in OUTPUTS.values())

    def forward(self, read: Tensor) -> Tensor:
        """(..., S) of states (..., D), to which no gradient goes."""
        own = self.hidden(read.detach()).relu().split(WIDTH, -1)
        return torch.cat([last(part) for last, part in zip(self.last, own, strict=True)], -1).float()


def halting(halt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""When adaptive computation time stops, and how it weights the predictions until then.

    $N = \min\{n : \sum_{t \le n} h_t \ge 1 - \epsilon\}, \quad R = 1 - \sum_{t < N} h_t, \quad
    p_t = h_t \; (t < N), \; p_N = R$

    Graves 2016 (arXiv 1603.08983), the halting probabilities, N and R of its section 2.

    Args:
        halt: (..., T) probabilities h after each glimpse; the last is taken as 1.

    Returns:
        Weights p (..., T), which sum to 1; glimpses N (...,); remainders R (...,).

    >>> weights, taken, remainder = halting(torch.tensor([0.25, 0.5, 0.5, 0.0]))
    >>> weights.tolist(), taken.item(), remainder.item()
    ([0.25, 0.5, 0.25, 0.0], 3, 0.25)
    """
    number = torch.arange(1, halt.shape[-1] + 1, device=halt.device)
    taken = 1 + (halt[..., :-1].cumsum(-1) < 1 - EPSILON).long().cumprod(-1).sum(-1)
    before = halt * (number < taken[..., None])
    remainder = 1 - before.sum(-1)
    return before + remainder[..., None] * (number == taken[..., None]), taken, remainder


def stopping(stop: Tensor) -> Tensor:
    r"""(..., T) probability that glimpse t is the last, $s_t \prod_{u < t} (1 - s_u)$.

    Args:
        stop: (..., T) probabilities s of stopping after each glimpse, the last of which is taken as 1.

    >>> stopping(torch.tensor([0.5, 0.5, 0.0])).tolist()
    [0.5, 0.25, 0.25]
    """
    last = torch.ones_like(stop[..., :1])
    goes_on = torch.cat([last, (1 - stop[..., :-1]).cumprod(-1)], -1)
    return torch.cat([stop[..., :-1], last], -1) * goes_on


def after(before: Tensor) -> Tensor:
    """(B, C, T) after each glimpse what was said (B, T, C) before each; 0 after the last."""
    return torch.cat([before[:, 1:], torch.zeros_like(before[:, :1])], 1).transpose(1, 2)
