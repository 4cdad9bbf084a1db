"""One iteration of training a hard-attention network, and its validation: what `train` repeats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from data.dataset import Split
from data.geometry import Geometry
from data.gpu import mixed_precision, sent
from hardattn.model.gradient_equilibrium import explore_in_equilibrium, ratio_at
from hardattn.model.looking import look_at_all, look_of
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Mode, Rollout, explore, follow, joined
from hardattn.objectives.methods import Method, Objective
from hardattn.objectives.rewards import reachable
from hardattn.objectives.stopping import ponder
from hardattn.objectives.terms import LossInputs, terms
from hardattn.stopping.curve import brief_curve
from hardattn.stopping.flops import Costs, costs_of
from hardattn.stopping.rules import Predictions
from hardattn.training.augment import Variation
from hardattn.training.compilation import Forward, compiled
from hardattn.training.recipe import Recipe
from hardattn.training.registry import LEARNERS
from hardattn.training.trainer import Trainer
from supervision.batches import Batch, MixedBatches


@LEARNERS.register("rollout")
class Learner(Trainer):
    """The training of a hard-attention network by one of the methods.

    Args:
        network, geometry, recipe, seed: see `Trainer`.
        method: which terms the loss has.
        batches: of the images, which are numbered as in their pool.
        targets: (N, K) class probabilities of the pool's images to learn in the place of their labels.

    Attributes:
        compiles: whether its step can be compiled.
    """

    compiles: ClassVar[bool] = True
    network: HardAttention
    recipe: Recipe

    def __init__(
        self,
        network: HardAttention,
        method: Method,
        batches: MixedBatches,
        geometry: Geometry,
        recipe: Recipe,
        seed: int,
        targets: Tensor | None = None,
    ) -> None:
        super().__init__(network, geometry, recipe, seed, batches.unsupervised_count)
        self.method, self.grid, self.steps = method, geometry.grid(), batches.glimpses
        self.pool, self.labels = batches.pool, batches.pool.labels.to(self.device)
        self.targets = self.labels if targets is None else targets.to(self.device)
        boxes = batches.pool.boxes
        self.boxes = None if boxes is None else reachable(boxes, geometry).to(self.device)
        self.look = look_of(batches.pool, geometry.known_retina(), self.device)
        self.places = None if batches.maps is None else batches.maps.places.to(self.device)
        for grid in (self.grid, getattr(network.policy_head, "grid", self.grid)):
            grid.on(self.device)  # there before a step is compiled
        self.forward: Forward = self._terms
        self.explore: Callable[..., Rollout] = explore

    def compile(self) -> None:
        """From here on the step is one compiled program, forward and backward; the next one compiles it."""
        for constant in (self.grid.locations, *(split.images for split in self.pool.splits)):
            torch._dynamo.mark_static_address(constant)  # CUDA graphs copy what may move
        self.forward = compiled(self._terms, self.device)

    def step(self, batch: Batch, fraction: float) -> None:
        """One iteration, `fraction` of the budget being used."""
        self.network.train()
        self._balance(fraction)
        method = self.method.at(fraction, self.recipe.imitate_for)
        free = len(batch.index) - (batch.count if method.supervised else 0)
        index = sent(batch.index, self.device)
        with self.draws(), mixed_precision(self.device):
            varied = self.variation(len(index))
            own = self._inputs(batch, index, free, self._objective(fraction), varied)
            locations = sent(batch.locations, self.device)
            weighted = self.forward(method, index, free, locations, varied, own)
        self.finish(weighted, fraction)

    def _balance(self, fraction: float) -> None:
        """The ratio of gradients when `fraction` of the budget is used, where there is to be one."""
        ratios = self.recipe.gradient_equilibrium
        if ratios is not None:
            self.explore = partial(explore_in_equilibrium, ratio=ratio_at(ratios, fraction))

    def _objective(self, fraction: float) -> Objective:
        """When `fraction` of the budget is used; what changes is a tensor, as numbers are compiled in."""
        objective = self.recipe.objective.at(fraction)
        weight = sent(torch.tensor(objective.supervision_weight), self.device)
        return replace(objective, supervision_weight=weight) if objective.anneal_supervision else objective

    def _inputs(
        self, batch: Batch, index: Tensor, free: int, objective: Objective, varied: Variation
    ) -> dict[str, Any]:
        """What the loss is computed from beside the rollout, see `LossInputs`."""
        return {
            "labels": self.labels[index],
            "supervised": torch.arange(len(index), device=self.device) >= free,
            "objective": objective,
            "boxes": self._boxes(index, varied),
            "maps": None if batch.maps is None else sent(batch.maps, self.device),
            "gains": None if batch.gains is None else sent(batch.gains, self.device),
            "class_targets": self.targets[index],
        }

    def _terms(
        self,
        method: Method,
        index: Tensor,
        free: int,
        locations: Tensor,
        varied: Variation,
        inputs: dict[str, Any],
    ) -> dict[str, Tensor]:
        """The weighted terms of the loss on images (B,), of which the first so many are free."""
        rollout = self._rollout(index, free, locations, method.training, varied)
        return terms(method, LossInputs(rollout, normaliser=self._normaliser(), **inputs))

    def finish(self, weighted: dict[str, Tensor], fraction: float) -> None:
        """Down the gradient of the weighted terms, which are noted for the log."""
        self.descend(torch.stack(list(weighted.values())).sum(), fraction)
        if self.is_due:
            values = torch.stack(list(weighted.values())).tolist()  # one wait for all
            self.terms = {
                f"loss_{name}": round(value, 5) for name, value in zip(weighted, values, strict=True)
            }

    def _boxes(self, index: Tensor, varied: Variation) -> Tensor | None:
        """(B, 6) where a glimpse touches the objects of varied images; None where no boxes are known."""
        if self.boxes is None:
            return None
        return varied.reachable(self.boxes[index], self.grid)

    def _normaliser(self) -> Tensor | None:
        """What the score of REINFORCE leaves out of log pi, if anything."""
        distance = self.recipe.reinforce_loss == "distance"
        return self.network.policy_head.log_normaliser() if distance else None

    def _rollout(self, index: Tensor, free: int, locations: Tensor, mode: Mode, varied: Variation) -> Rollout:
        """First the free images where the network likes, then the supervised ones at `locations`."""
        network = self.network
        parts: list[Rollout] = []
        if free:
            look = varied.of(slice(free)).look(self.look, self.grid)
            parts.append(self.explore(network, look, index[:free], self.grid, self.steps, mode=mode))
        if free < len(index):
            own = varied.of(slice(free, None))
            forced = own.locations(locations[free:], self.grid)
            look, places = own.look(self.look, self.grid), self._places(own)
            parts.append(follow(network, look, index[free:], forced, self.grid, places))
        return joined(parts)

    def _places(self, varied: Variation) -> Tensor | None:
        """(B, L', 3) where the places of the EPE maps are in varied images."""
        if self.places is None:
            return None
        return varied.locations(self.places.expand(len(varied.flipped), -1, -1), self.grid)


def accuracy_and_nll(logits: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
    """After every glimpse: share of right predictions, and mean -log p(label) in nats.

    Args:
        logits: (B, T, K).
        labels: (B,).
    """
    log_probs = logits.float().log_softmax(-1)
    right = (log_probs.argmax(-1) == labels[:, None]).double().mean(0)
    nll = [nll_loss(log_probs[:, t], labels).item() for t in range(log_probs.shape[1])]
    return right.tolist(), nll


class Validator:
    """Figures of a network on the validation images.

    Args:
        ponder_cost: nats for each glimpse, of a network that halts.
    """

    def __init__(
        self, split: Split, geometry: Geometry, steps: int, mode: Mode, ponder_cost: float = 0.0
    ) -> None:
        self.split, self.geometry, self.steps, self.mode = split, geometry, steps, mode
        self.ponder_cost = ponder_cost
        self._costs: Costs | None = None

    def __call__(self, network: HardAttention) -> tuple[dict[str, Any], dict[str, Any]]:
        """NLL and accuracy after T glimpses and after each; what stopping rules make of these images.

        Of a network that halts also its ponder cost, which counts where weights are chosen by their NLL.
        """
        rollout = look_at_all(network, self.split, self.geometry, self.steps, mode=self.mode)
        labels, costs = self.split.labels.cpu(), self._costs_of(network)
        accuracy, nll = accuracy_and_nll(rollout.logits, labels)
        figures = {"nll": nll[-1], "accuracy": accuracy[-1], "nll_at": nll, "accuracy_at": accuracy}
        if "halting" in rollout.said:
            figures |= {"ponder": ponder(rollout, self.ponder_cost).item()}
        return figures, {"stopping": brief_curve(Predictions.of(rollout), labels, costs)}

    def _costs_of(self, network: HardAttention) -> Costs:
        """Counted once: training does not change them."""
        if self._costs is None:
            self._costs = costs_of(network, self.geometry.glimpse_shape())
        return self._costs
