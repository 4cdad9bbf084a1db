"""How the conditional VAE is learned by stochastic variational inference."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyro
import torch
from pyro.infer import SVI, TraceMeanField_ELBO
from pyro.optim import ClippedAdam
from torch import Tensor

from boed.completions.canvas_state import random_seen, spread, to_cells, within_cells
from boed.completions.completion import CompletionTask
from boed.completions.cvae import ConditionalVae, ConditionalVaeCompletion
from boed.fitting.fit_log import LOSS_OF_COMPLETION, Curve
from boed.fitting.fit_state import seeded_iterations
from data.dataset import Split
from data.geometry import Geometry

BATCH = 64
LEARNING_RATE, PARTIAL_RATE = 4e-3, 2e-3  # of the VAE, and of the partial encoder
LAST_RATE = 0.02  # of the learning rate, at the end of each stage
WITHIN_ON = 1000


def fit_completion(task: CompletionTask, train: Split, rows: Tensor) -> ConditionalVaeCompletion:
    """Learned with the iterations, the seed and the resolution of the settings."""
    settings = task.settings
    network = train_cvae(
        train,
        rows,
        task.geometry,
        glimpses=settings.glimpses,
        places=task.places,
        iterations=settings.iterations,
        seed=settings.seed,
        state=task.state,
        resolution=settings.resolution,
    )
    return ConditionalVaeCompletion(network)


def train_cvae(
    split: Split,
    rows: Tensor,
    geometry: Geometry,
    *,
    glimpses: int,
    places: Tensor,
    iterations: int,
    seed: int,
    state: Path | None = None,
    **sizes: int,
) -> ConditionalVae:
    """Trains the VAE for half of the iterations, then the partial encoder for the others, by SVI.

    Args:
        split, rows: (M,) training images.
        geometry: of images and sensor.
        glimpses: T; the partial encoder is trained on 0 to T glimpses of an image.
        places: (L, 3); a glimpse is at one of them, shifted a little.
        iterations: in all, each of 64 images.
        seed: of weights and draws.
        state: see `boed.fitting.fit_state.seeded_iterations`.
        sizes: latent, resolution, width, see `ConditionalVae`.

    Raises:
        CheckpointError: `state` is damaged, or of another training (both values are shown).
    """
    torch.manual_seed(seed)
    network = ConditionalVae(geometry, **sizes).to(places.device)
    images = to_cells(split.images, rows, network.cells)
    network.mean.copy_(images.mean(0))
    network.within.copy_(within_cells(split.images, spread(rows, WITHIN_ON), network.cells))
    task = {"data": split.fingerprint, "rows": _digest(rows), "places": _digest(places), "seed": seed}
    task |= {"geometry": geometry.to_json(), "glimpses": glimpses, "iterations": iterations, **sizes}
    with pyro.get_param_store().scope():
        optimiser = _optimiser(iterations)
        whole = SVI(network.model, network.guide, optimiser, TraceMeanField_ELBO())
        part = SVI(network.partial_model, network.partial_guide, optimiser, TraceMeanField_ELBO())
        kept, curve = _OptimiserState(optimiser), Curve(LOSS_OF_COMPLETION)
        for i, generator in seeded_iterations(
            *(network, kept),
            iterations=iterations,
            seed=seed,
            state=state,
            task=task,
            title="cvae",
            curve=curve,
        ):
            drawn = torch.randint(len(rows), (BATCH,), generator=generator).to(rows.device)
            if i < iterations // 2:
                curve.add(whole.step(images[drawn]))
            else:
                seen = random_seen(split, rows[drawn], geometry, network.cells, places, glimpses, generator)
                curve.add(part.step(images[drawn], seen))
    return network.eval()


def _optimiser(iterations: int) -> Any:
    """Adam, whose rate falls by the same factor in each of the two stages."""
    decay = LAST_RATE ** (2 / max(iterations, 2))
    fast = {"log_noise": 10 * LEARNING_RATE}  # a single number that everything else waits for

    def options(name: str) -> dict[str, float]:
        rate = PARTIAL_RATE if "partial" in name else fast.get(name, LEARNING_RATE)
        return {"lr": rate, "lrd": decay}

    return ClippedAdam(options)


class _OptimiserState:
    """The state of Pyro's optimiser, which has one of torch for each parameter, as if it were a single one.

    The parameter groups are among what is kept: the learning rate falls from step to step.
    """

    def __init__(self, optimiser: Any) -> None:
        self.optimiser = optimiser

    def state_dict(self) -> dict[str, Any]:
        kept = {
            name: of_one["state"][0] | {"groups": of_one["param_groups"]}
            for name, of_one in self.optimiser.get_state().items()
        }
        return {"state": kept, "param_groups": []}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        for name, slots in state_dict["state"].items():
            groups = slots.pop("groups")
            self.optimiser.set_state({name: {"state": {0: slots}, "param_groups": groups}})


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.cpu().contiguous().numpy().tobytes()).hexdigest()
