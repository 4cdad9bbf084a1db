"""Heads that predict, after each glimpse, what stopping rules go by: `hardattn.stopping.rules` reads them.

All read a detached state, so that they predict and do not shape it: one training gives every rule, side by
side on the same network. What they say is a mapping from the name of a head to what it predicts:

    gain           (...,) drop of the cross-entropy by the next glimpse, nats: the information gain, see
                   `hardattn.objectives.stopping.gain`
    accuracy_gain  (...,) rise of the probability of being right by the next glimpse
    act            (..., C) halting probability of adaptive computation time, for each ponder cost
    stochastic     (..., C) probability of stopping, for each ponder cost

A network that halts says one thing more, which does shape it, see `hardattn.model.halting`:

    halting        (...,) halting probability of adaptive computation time

Shapes: B images, T glimpses, D hidden features, C ponder costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from data.errors import SettingsError
from data.linear import Linear, linear
from hardattn.model.registry import HEADS

PONDER_COSTS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Nats that a glimpse costs, of the heads that are trained with a cost."""
EPSILON = 0.01  # of Graves: halting need not reach 1 exactly
WIDTH = 32
NUMBERED = ("gain", "accuracy_gain", "act", "stochastic")  # heads of version 0.1, in the order of its weights

Said = Mapping[str, Tensor]
"""Name of a head -> what it says before a glimpse; a head that a network does not have says nothing."""


@dataclass(frozen=True)
class HeadKind:
    """What `HEADS` knows of a head.

    Attributes:
        outputs: how many numbers it predicts.
        meaning: the outputs (..., n) -> what is said.
    """

    outputs: int
    meaning: Callable[[Tensor], Tensor]


def one_number(outputs: Tensor) -> Tensor:
    """(...,) of outputs (..., 1)."""
    return outputs.squeeze(-1)


HEADS.register("gain")(HeadKind(1, one_number))
HEADS.register("accuracy_gain")(HeadKind(1, one_number))
HEADS.register("act")(HeadKind(len(PONDER_COSTS), torch.sigmoid))
HEADS.register("stochastic")(HeadKind(len(PONDER_COSTS), torch.sigmoid))


def require_said(said: Said, head: str) -> Tensor:
    """What a head says; raises SettingsError where a network has none of that name."""
    if head not in said:
        raise SettingsError(
            f"expected a network with a stopping head {head}, found {', '.join(said) or 'none'}; take "
            "another rule, or train a network that has it"
        )
    return said[head]


class Head(nn.Module):
    """W' relu(W h): one head, whose hidden layer is drawn by `StoppingHeads`.

    Args:
        features: width D of what is read.
        outputs: how many numbers it predicts.
    """

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.hidden = skip_init(Linear, features, WIDTH)
        self.last = Linear(WIDTH, outputs)


class StoppingHeads(nn.ModuleDict):
    """One small network for each of `HEADS`, by name, on what is read of a state.

    They are not told the prediction beside it: its logits are linear in the state, and telling them and their
    entropy made no stopping rule better. Weights that know fewer heads, or others, are loaded all the same:
    the network then has the heads that it shares with them.

    Args:
        features: width D of what is read.

    >>> said = StoppingHeads(16)(torch.zeros(4, 5, 16))
    >>> said["gain"].shape, said["act"].shape == (4, 5, len(PONDER_COSTS))
    (torch.Size([4, 5]), True)
    """

    def __init__(self, features: int) -> None:
        joint = Linear(features, len(HEADS) * WIDTH)  # draws the hidden layers of all heads at once
        super().__init__({name: Head(features, kind.outputs) for name, kind in HEADS.items()})
        hidden = (joint.weight.split(WIDTH), joint.bias.split(WIDTH))
        with torch.no_grad():
            for head, weight, bias in zip(self.by_name.values(), *hidden, strict=True):
                head.hidden.weight.copy_(weight)
                head.hidden.bias.copy_(bias)
        self.register_load_state_dict_pre_hook(_keep_shared_heads)

    @property
    def by_name(self) -> dict[str, Head]:
        """The heads that there are."""
        return cast(dict[str, Head], dict(self.items()))

    def forward(self, read: Tensor) -> dict[str, Tensor]:
        """What is said of states (..., D), to which no gradient goes; one product for all hidden layers."""
        if not len(self):
            return {}
        weight, bias = (torch.cat([getattr(head.hidden, name) for head in self.values()]) for name in WEIGHTS)
        hidden = linear(read.detach(), weight, bias).relu().split(WIDTH, -1)
        return {
            name: HEADS[name].meaning(head.last(own).float())
            for (name, head), own in zip(self.by_name.items(), hidden, strict=True)
        }


WEIGHTS = ("weight", "bias")


def _keep_shared_heads(heads: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Leaves out, before weights are loaded, the heads that only the network or only the weights have."""
    assert isinstance(heads, StoppingHeads)
    known = {name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)}
    for head in set(heads) - known:
        del heads[head]
    for name in [name for name in weights if name.startswith(prefix)]:
        if name.removeprefix(prefix).split(".")[0] not in heads:
            del weights[name]


def heads_by_name(network: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Gives heads of version 0.1, whose hidden layers were joint, the names that they have now.

    A pre-hook of `torch.nn.Module.load_state_dict`.
    """
    old = f"{prefix}stopping_heads."
    for kind in WEIGHTS:
        joint = weights.pop(f"{old}hidden.{kind}", None)
        if joint is None:
            continue
        for number, (name, hidden) in enumerate(zip(NUMBERED, joint.chunk(len(NUMBERED)), strict=True)):
            weights[f"{prefix}heads.{name}.hidden.{kind}"] = hidden
            weights[f"{prefix}heads.{name}.last.{kind}"] = weights.pop(f"{old}last.{number}.{kind}")


def halting(halt: Tensor, reach: float = 1 - EPSILON) -> tuple[Tensor, Tensor, Tensor]:
    r"""When adaptive computation time stops, and how it weights the predictions until then.

    $N = \min\{n : \sum_{t \le n} h_t \ge 1 - \epsilon\}, \quad R = 1 - \sum_{t < N} h_t, \quad
    p_t = h_t \; (t < N), \; p_N = R$

    Graves 2016 (arXiv 1603.08983), the halting probabilities, N and R of its section 2.

    Args:
        halt: (..., T) probabilities h after each glimpse; the last is taken as 1.
        reach: what they sum to where it stops, 1 - epsilon.

    Returns:
        Weights p (..., T), which sum to 1; glimpses N (...,); remainders R (...,).

    >>> weights, taken, remainder = halting(torch.tensor([0.25, 0.5, 0.5, 0.0]))
    >>> weights.tolist(), taken.item(), remainder.item()
    ([0.25, 0.5, 0.25, 0.0], 3, 0.25)
    """
    number = torch.arange(1, halt.shape[-1] + 1, device=halt.device)
    taken = 1 + (halt[..., :-1].cumsum(-1) < reach).long().cumprod(-1).sum(-1)
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
