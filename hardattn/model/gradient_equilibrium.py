r"""Gradient equilibrium: what a localiser sends back is held to a share of what the classifier sends back.

Two branches read the fused feature h_t of every glimpse: the classifier, and the localiser of the next one.
With $c_t$ the gradient that the first sends back into h_t, and $g_t$ that of the second, which comes through
the crop at t + 1, backward goes on with

    $g'_t = g_t \, / \, (\rho \, \lambda_t), \qquad \lambda_t = \mathrm{std}(g_t) / \mathrm{std}(c_{t+1})$

so that std(g'_t) = std(c_{t+1}) / rho, whatever the localiser sends. The deviations are over batch and
features.

It is an option of the code released with Tan et al. 2021 (arXiv 2111.02018; github.com/siahuat0727/MGNet),
off by default; no ratio rho was published. That code differs in three things. Its ratio begins at FIRST -
FINAL, and where the two are alike with no division at all; here it begins at FIRST. It means to divide the
gradient of the localiser's own weights too, by a mean of rho lambda_t, but names a layer that its network has
not; here that is not divided. And it has no static factor beside it; here the 0.02 of
`hardattn.model.localisers` stays, which cancels in g'_t and is left in the gradient of the weights.

A localiser that reads more than the fused feature is not for it: after the first glimpse four heads over one
feature send nothing back into their query, and no factor gives nothing a spread.

Shapes: B images, T glimpses, D features, W width of the state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from data.grid import Grid
from hardattn.model.network import HardAttention
from hardattn.model.policies import Action, ActMode
from hardattn.model.rollout import Look, Mode, Rollout, read, walk

TINY = 1e-12
"""Is added to every deviation."""


def ratio_at(ratios: Sequence[float], fraction: float) -> float:
    """rho when `fraction` of the budget is used: from the first to the final one by half a cosine.

    >>> [round(ratio_at((8, 2), fraction), 3) for fraction in (0.0, 0.25, 0.5, 1.0)]
    [8.0, 7.121, 5.0, 2.0]
    """
    first, final = ratios
    return final + (first - final) * (1 + math.cos(math.pi * fraction)) / 2


class GradientEquilibrium:
    """The branches of one walk, whose gradients one backward pass brings into proportion.

    A crop is part of what every later state is made of, and all heads read the states at once. So the
    classifier's gradients are known before the first of the localiser's is.

    Args:
        network: whose policy is differentiable, reads the core's output and shapes the state.
        grid: says whether the first glimpse is a glance, which no localiser chooses.
        ratio: rho.
    """

    def __init__(self, network: HardAttention, grid: Grid, ratio: float) -> None:
        self.network, self.ratio, self.choices = network, ratio, 0
        self.chosen = slice(1 + int(grid.first_glance), None)
        self.noted = torch.empty(0)

    def classified(self, states: Tensor) -> Tensor:
        """The states (B, T+1, W) for the heads."""
        branch = states.view_as(states)
        branch.register_hook(self._note)
        return branch

    def choose(
        self, mode: ActMode, state: Tensor, generator: torch.Generator | None, taken: Tensor | None
    ) -> Action:
        """Where to look next, of states (B, W); called once for each glimpse that is chosen, in order."""
        branch = state.view_as(state)
        branch.register_hook(partial(self._divided, self.choices))
        self.choices += 1
        return self.network.act(branch, mode, generator, taken)

    def _note(self, gradient: Tensor) -> None:
        """std(c) (T',) of the glimpses that are chosen, of the gradient (B, T+1, W)."""
        sent = self.network.core.output(gradient)[:, self.chosen].float()
        self.noted = sent.std((0, 2), correction=0) + TINY

    def _divided(self, choice: int, gradient: Tensor) -> Tensor:
        """g' (B, W) of g (B, W), which are 0 but for the fused feature."""
        own = self.network.core.output(gradient).float().std(correction=0) + TINY
        return gradient / (self.ratio * own / self.noted[choice])


def explore_in_equilibrium(
    network: HardAttention, look: Look, index: Tensor, grid: Grid, steps: int, *, mode: Mode, ratio: float
) -> Rollout:
    """As `hardattn.model.rollout.explore`, "sample" or "greedy"; backward, the gradients are in equilibrium.

    Args:
        network: in training; see `GradientEquilibrium`.
        look, index, grid, steps: see `explore`.
        ratio: rho.

    >>> from data.geometry import Geometry, affine_crops
    >>> crops = affine_crops(Geometry(24, 24, 1, glimpse_size=6))
    >>> network = HardAttention(1, crops.grid(), 2, 2, encoder="residual", combine="clue", core="attention",
    ...     policy="affine", hidden=8)
    >>> def look(index, places):
    ...     return crops.retina()(torch.zeros(3, 24, 24, 1), index, places)
    >>> explore_in_equilibrium(network, look, torch.arange(3), crops.grid(), 2, mode="sample",
    ...     ratio=4).logits.shape
    torch.Size([3, 2, 2])
    """
    equilibrium = GradientEquilibrium(network, grid, ratio)
    choose = partial(equilibrium.choose, cast(ActMode, mode))
    walked = walk(network, look, index, grid, steps, mode=mode, choose=choose)
    return read(network, replace(walked, states=equilibrium.classified(walked.states)), grid)
