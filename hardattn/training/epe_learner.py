r"""The method epe-head: the policy is a map of the expected cross-entropy after one more glimpse.

A head m of the network regresses, from the state alone, what the network's own classifier will say:

    $\min_m \; E\,[\,(m_l(h_t) + \log p(\theta \mid h_{t+1}(l)))^2\,], \qquad l_{t+1} = \arg\min_l m_l(h_t)$

Its minimiser is the conditional mean of the realised cross-entropy given the glimpses so far, which is the
bound of Barber and Agakov on the expected posterior entropy (EPE): greedy design by a network, without
completions and without REINFORCE. It is DIME's idea for features (Gadgil, Covert, Lee 2024,
arXiv 2306.03301). As the mean is conditional on the place too, it does not matter how the places of the
regression were chosen.

Shapes: B images, T glimpses, L locations, R candidates, K classes, W width of the state. All values in nats.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from data.gpu import mixed_precision, sent
from data.grid import Grid
from data.places import normalise
from hardattn.model.locations import EpeMap
from hardattn.model.network import HardAttention
from hardattn.model.policies import EXPLORATION, EpePolicy
from hardattn.model.rollout import Look, Rollout, Walk, read, walk
from hardattn.objectives.terms import LossInputs, counted, terms
from hardattn.training.distributed import Part
from hardattn.training.learner import Learner
from hardattn.training.registry import LEARNERS
from supervision.batches import Batch

CANDIDATES = 4  # beside the place taken; each costs one glimpse and one step of the core, without gradient
ANNEALED_FOR = 0.5  # of the budget


def exploration(fraction: float) -> float:
    """Share of arbitrary places when `fraction` of the budget is used: from 1 linearly down to a floor.

    >>> [round(exploration(fraction), 3) for fraction in (0.0, 0.25, 0.5, 1.0)]
    [1.0, 0.55, 0.1, 0.1]
    """
    return max(EXPLORATION, 1 - (1 - EXPLORATION) * fraction / ANNEALED_FOR)


def regression(network: HardAttention, walked: Walk, places: Tensor, values: Tensor) -> Tensor:
    """Mean squared error of the maps before each glimpse, in nats squared.

    Args:
        network: whose policy is an `EpeMap`.
        walked: the states (B, T+1, W).
        places: (B, T, R) of the grid.
        values: (B, T, R) cross-entropies after a glimpse there.
    """
    maps = cast(EpeMap, network.policy(walked.states[:, :-1])).epe  # (B, T, L)
    return (maps.gather(2, places) - values).square().mean()


@torch.no_grad()
def realised(
    network: HardAttention,
    look: Look,
    index: Tensor,
    walked: Walk,
    places: Tensor,
    labels: Tensor,
    grid: Grid,
) -> Tensor:
    """(B, T, R) -log p(label) after one more glimpse at places (B, T, R), instead of the one that was taken.

    Args:
        index: (B,) numbers of the images.
        walked: the states that the glimpses go on from.
        labels: (B,).
    """
    count, times = len(places), places.shape[1] * places.shape[2]
    candidates = grid.on(places.device)[places]  # (B, T, R, 3)
    glimpses = look(index, candidates.flatten(1, 2)).flatten(0, 1)
    centres = normalise(candidates, grid).flatten(0, 2)
    before = walked.states[:, :-1].repeat_interleave(places.shape[2], 1).flatten(0, 1)
    mask = walked.mask.expand(count, -1).repeat_interleave(times, 0)
    after = network.step(glimpses, centres, before, mask)
    logits = network.classify(after, network.mask(len(after))).float()
    return cross_entropy(logits, labels.repeat_interleave(times), reduction="none").view(places.shape)


def taken(rollout: Rollout, labels: Tensor) -> Tensor:
    """(B, T) -log p(label) after the glimpses that were taken: a sample that costs nothing."""
    logits = rollout.logits.detach().float().transpose(1, 2)  # (B, K, T)
    return cross_entropy(logits, labels[:, None].expand(-1, logits.shape[2]), reduction="none")


def after_glance(walked: Walk, chosen: slice) -> Walk:
    """The walk from the first of the glimpses on whose places were `chosen`."""
    return replace(
        walked,
        states=walked.states[:, chosen],
        locations=walked.locations[:, chosen],
        log_prob=walked.log_prob[:, chosen],
    )


@LEARNERS.register("epe")
class EpeLearner(Learner):
    """The training of a network whose policy is an `EpeMap`: cross-entropy, and the regression of the map."""

    compiles = False

    def step(self, batch: Batch, fraction: float) -> None:
        cast(EpePolicy, self.network.train().policy_head).epsilon = exploration(fraction)
        super().step(batch, fraction)

    def _weighted(self, part: Part, fraction: float) -> dict[str, Tensor]:
        index = sent(part.batch.index, self.device)
        with self.draws(), mixed_precision(self.device, self.precision):
            weighted = part.rows.drawn(self._regressed)(index, self.labels[index])
        return counted(weighted, {"all": part.rows.share})

    def _regressed(self, index: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The weighted terms of the loss on images `index` (B,)."""
        class_targets = self.targets[index]
        nobody = torch.zeros_like(labels, dtype=torch.bool)
        look = self.variation(len(index)).look(self.look, self.grid)
        walked = walk(self.network, look, index, self.grid, self.steps, mode="sample")
        rollout = read(self.network, walked, self.grid)
        walked, after = after_glance(walked, rollout.chosen), taken(rollout, labels)[:, rollout.chosen]
        size = (len(index), walked.locations.shape[1], CANDIDATES)
        others = torch.randint(len(self.grid), size, device=self.device)
        values = realised(self.network, look, index, walked, others, labels, self.grid)
        places = torch.cat([self.grid.index(walked.locations)[..., None], others], 2)
        values = torch.cat([after[..., None], values], 2)
        inputs = LossInputs(rollout, labels, nobody, self.recipe.objective, class_targets=class_targets)
        return terms(self.method, inputs, {"epe": regression(self.network, walked, places, values)})
