"""How much the gradient of a localiser differs from one batch of training images to the next.

Shapes: N batches, P parameters.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from data.dataset import Split
from data.pool import ImagePool
from hardattn.inspection.sweeps import shaping_loss
from hardattn.model.looking import look_of
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Rollout, explore
from hardattn.objectives.registry import METHODS
from hardattn.objectives.terms import LossInputs
from hardattn.training.settings import NetworkSettings


@dataclass(frozen=True)
class Spread:
    """Of gradients, over batches.

    Attributes:
        variance: summed over the parameters, unbiased.
        squared_mean: of the mean gradient, its squared norm.

    >>> Spread.of(torch.tensor([[3.0, 1.0], [1.0, 1.0]]))
    Spread(variance=2.0, squared_mean=5.0)
    """

    variance: float
    squared_mean: float

    @classmethod
    def of(cls, gradients: Tensor) -> Spread:
        """That of gradients (N, P), N at least 2."""
        exact = gradients.double()
        return cls(float(exact.var(0).sum()), float(exact.mean(0).square().sum()))

    @property
    def relative(self) -> float:
        """The variance in units of the squared mean: about N where there is nothing but noise."""
        return self.variance / self.squared_mean if self.squared_mean else float("nan")


def localiser_gradients(
    network: HardAttention, split: Split, settings: NetworkSettings, count: int, seed: int = 0
) -> Tensor:
    """(N, P) the gradient to the localiser's parameters in each of N batches, as large as in training.

    The network is in training mode, with the statistics of the batch; its images are not varied. It is left
    as it is.

    Args:
        split: of the training.
        count: N.
        seed: of the batches, and of the draws of dropout.
    """
    trained, device = copy.deepcopy(network).train(), network.device
    weights = list(trained.policy_head.parameters())
    look, grid = (
        look_of(ImagePool([split]), settings.geometry.known_retina(), device),
        settings.geometry.grid(),
    )
    mode, gradients = METHODS[settings.method].training, list[Tensor]()
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for index in _batches(len(split), settings.recipe.batch_size, count, generator):
            rollout = explore(trained, look, index.to(device), grid, settings.glimpses, mode=mode)
            loss = shaping_loss(_inputs(rollout, split.labels[index.to(split.labels.device)], settings))
            gradients.append(torch.cat([each.flatten() for each in torch.autograd.grad(loss, weights)]))
    return torch.stack(gradients)


def _inputs(rollout: Rollout, labels: Tensor, settings: NetworkSettings) -> LossInputs:
    labels = labels.to(rollout.logits.device)
    return LossInputs(rollout, labels, torch.zeros_like(labels, dtype=torch.bool), settings.recipe.objective)


def _batches(total: int, size: int, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """(B,) rows of each batch, drawn without replacement; of one batch to the next they may come again."""
    for _ in range(count):
        yield torch.randperm(total, generator=generator)[:size]
