"""Training of the posterior q on (glimpses, label) pairs, at places drawn where the design will look."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from boed.fitting.augmentation import Augmentation
from boed.fitting.fit_log import Curve
from boed.fitting.fit_state import seeded_iterations
from boed.fitting.forward_kl import ForwardKL
from boed.joint_model import PLATES, JointModel
from boed.posteriors.posterior import Posterior
from data.dataset import Split
from data.geometry import Geometry
from data.gpu import mixed_precision
from data.stages import stage

BATCH = 128
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.1
JITTER = 0.18  # of a place's side, in each direction

PlaceSampler = Callable[[torch.Generator], Tensor]
"""(generator) -> (B, T, 3) places, of as many images as are in a batch."""


@stage("training of q")
def train_posterior(
    q: Posterior,
    split: Split,
    rows: Tensor,
    geometry: Geometry,
    sample: PlaceSampler,
    *,
    iterations: int,
    seed: int,
    state: Path,
    task: dict[str, Any],
    title: str,
    curve: Curve | None = None,
    augmentation: Augmentation,
    learning_rate: float = LEARNING_RATE,
) -> None:
    """Trains q as the guide of the joint model, for every prefix of the sampled places, by the forward KL.

    q is left in eval mode.

    Args:
        rows: (M,) training images of `split`.
        sample: draws the places of a batch.
        iterations, seed, state, task, title, curve, learning_rate: see `train`.
        augmentation: where glimpses are gathered instead of at their places.

    Raises:
        CheckpointError: `state` is damaged, or of another task (both values are shown).
    """
    device, model = split.images.device, JointModel(split, geometry.retina(), rows)
    objective = ForwardKL(observed=("glimpses",), averaged=PLATES)

    def loss(generator: torch.Generator) -> Tensor:
        locations = sample(generator).to(device)  # (B, T, 3)
        gathered, flipped = augmentation.gathered(locations, generator)

        def guide(*_: Any, observations: dict[str, Tensor]) -> None:
            with mixed_precision(device):
                glimpses = augmentation.seen(observations["glimpses"], flipped, locations, generator)
                q(glimpses, geometry.centres(locations))

        return objective.differentiable_loss(partial(model, generator=generator), guide, gathered)

    train(
        q,
        loss,
        iterations=iterations,
        seed=seed,
        state=state,
        task=task,
        title=title,
        curve=curve,
        learning_rate=learning_rate,
        weight_decay=WEIGHT_DECAY,
    )


def train(
    network: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    *,
    iterations: int,
    seed: int,
    state: Path,
    task: dict[str, Any],
    title: str,
    curve: Curve | None = None,
    learning_rate: float,
    weight_decay: float,
) -> None:
    """Minimises a stochastic loss by AdamW with one cycle of the learning rate, and can be interrupted.

    Args:
        network: trained in place and left in eval mode.
        loss: generator -> (), a draw of the loss; it may also draw from torch's global generator.
        iterations, seed, state, task, title, curve: see `boed.fitting.fit_state.seeded_iterations`.
        learning_rate: the largest.
        weight_decay: of AdamW.

    Raises:
        CheckpointError: `state` is damaged, or of another task (both values are shown).
    """
    optimiser = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=weight_decay, fused=True)
    optimiser.param_groups[0]["initial_lr"] = learning_rate  # a schedule that is taken up goes by it
    schedule: LambdaLR | None = None
    network.train()
    for iteration, generator in seeded_iterations(
        network, optimiser, iterations=iterations, seed=seed, state=state, task=task, title=title, curve=curve
    ):
        schedule = schedule or LambdaLR(optimiser, lambda i: one_cycle(i / iterations), iteration - 1)
        value = loss(generator)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        schedule.step()
        if curve is not None:
            curve.add(value)
    network.eval()


def one_cycle(progress: float) -> float:
    """Factor of the learning rate: linear warm-up over a tenth, then a cosine to zero."""
    return min(progress / 0.1 + 0.01, 1.0) * 0.5 * (1 + math.cos(math.pi * max(0.0, (progress - 0.1) / 0.9)))
