"""One of each that a package can add to hard-attention networks: they are small rather than good."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from data.grid import LocationGrid
from hardattn.baselines.layers import Baseline, Image
from hardattn.baselines.registry import BASELINES
from hardattn.model.cores import Core
from hardattn.model.policies import Action, Policy
from hardattn.model.registry import CORES, ENCODERS, POLICIES
from hardattn.objectives.methods import Method
from hardattn.objectives.registry import METHODS
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Predictions, Rule, quantiles, until_below


# --- an encoder
@ENCODERS.register("squares")
class Squares(nn.Module):
    """Squared responses of linear filters: how strong a pattern is, whatever its sign."""

    def __init__(self, channels: int, size: int, features: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(channels * size * size, features)
        self.norm = nn.BatchNorm1d(features) if batch_norm else nn.LayerNorm(features)

    def forward(self, glimpses: Tensor) -> Tensor:
        return self.norm(self.linear(glimpses.flatten(1)).square())


# --- a core
@CORES.register("leaky")
class Leaky(Core):
    """h_t = h_{t-1} + exp(-w) (g_t - h_{t-1}): a moving average of features."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(features))
        self.rate = nn.Parameter(torch.full((features,), 0.5))

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        return state + (-self.rate.square()).exp() * (features - state)


# --- a policy
@POLICIES.register("pointer")
class Pointer(Policy):
    """Points anywhere, also between the pixels, and is trained through the pixels that it points at."""

    differentiable, scored = True, False

    def __init__(self, features: int, grid: LocationGrid) -> None:
        super().__init__()
        self.linear, self.side = nn.Linear(features, 2), grid.glimpse_size
        self.register_buffer("room", torch.tensor(grid.image_size) - self.side, persistent=False)

    def act(self, features: Tensor, *_: object) -> Action:
        corner = self.linear(features).sigmoid() * self.room
        return Action(nn.functional.pad(corner, (0, 1), value=self.side), None)


# --- a method
METHODS.register("end-to-end")(
    Method("trains all by the cross-entropy alone", "sample", "greedy", {"classification": 1.0})
)


# --- a stopping rule
def closeness(predicted: Predictions) -> Tensor:
    """(B, T) 1 - (p_1 - p_2) of the likeliest two classes, before each glimpse but for the first."""
    first, second = predicted.log_probs.exp().topk(2).values.unbind(-1)
    return (1 - first + second).roll(1, 1)


RULES.register("margin")(
    Rule(
        "until two classes are far apart",
        partial(until_below, closeness),
        partial(quantiles, closeness),
        "",
        True,
    )
)


# --- a baseline
@BASELINES.register("logistic")
def logistic(image: Image, classes: int) -> Baseline:
    """Logistic regression on the pixels."""
    return Baseline(nn.Flatten(), nn.Linear(math.prod(image), classes))
