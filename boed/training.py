"""Training of the posterior q on (glimpses, label) pairs, at places drawn where the design will look."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from boed.bank import centres_of
from boed.posterior import Posterior, negative_log_posterior
from data.dataset import Split
from data.errors import CheckpointError
from data.geometry import Geometry
from data.tensors import load_tensors, save_tensors

BATCH = 128
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.1
JITTER = 0.18  # of the glimpse size, in each direction
SAVE_EVERY = 500

PlaceSampler = Callable[[int, torch.Generator], Tensor]
"""(number of images, generator) -> (B, T) indices of places."""


def train_posterior(
    q: Posterior,
    split: Split,
    rows: Tensor,
    places: Tensor,
    geometry: Geometry,
    sample: PlaceSampler,
    *,
    iterations: int,
    seed: int,
    state: Path,
    task: dict[str, Any],
    title: str,
    jitter: bool,
    learning_rate: float = LEARNING_RATE,
) -> None:
    """Minimises `negative_log_posterior` over every prefix of the sampled places; q is left in eval mode.

    Iteration i draws from (seed, i) alone and the state is saved every 500 iterations and at the
    end, so that an interrupted training is taken up with the result of an uninterrupted one.

    Args:
        rows: (M,) training images of `split`.
        places: (L, 2) codebook.
        sample: draws the places of a batch.
        state: file of the interrupted state; removed by the caller when all is done.
        jitter: whether glimpses are gathered a little beside their places, an augmentation for images in
            which the same part is nearly at the same place.
        task: JSON-able, what the training depends on; a state of another task is refused.

    Raises:
        CheckpointError: `state` is damaged, or of another task (both values are shown).
    """
    optimiser = torch.optim.AdamW(q.parameters(), learning_rate, weight_decay=WEIGHT_DECAY)
    start = resume_state(state, task, q, optimiser)
    device = places.device
    q.train()
    for iteration in tqdm(range(start, iterations), initial=start, total=iterations, desc=title, unit="it"):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * one_cycle(iteration / iterations)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + iteration)
        torch.manual_seed(seed * 1_000_003 + iteration)  # dropout has no generator argument
        index = rows[torch.randint(len(rows), (BATCH,), generator=generator).to(device)]
        locations = places[sample(BATCH, generator).to(device)]  # (B, T, 2)
        shifted = locations + _jitter(locations, geometry, generator) if jitter else locations
        glimpses = geometry.retina()(split.images, index, shifted)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = negative_log_posterior(q, glimpses, centres_of(locations, geometry), split.labels[index])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if (iteration + 1) % SAVE_EVERY == 0 or iteration + 1 == iterations:
            save_state(state, task, iteration + 1, q, optimiser)
    q.eval()


def one_cycle(progress: float) -> float:
    """Factor of the learning rate: linear warm-up over a tenth, then a cosine to zero."""
    return min(progress / 0.1 + 0.01, 1.0) * 0.5 * (1 + math.cos(math.pi * max(0.0, (progress - 0.1) / 0.9)))


def _jitter(locations: Tensor, geometry: Geometry, generator: torch.Generator) -> Tensor:
    """Small random shifts of where the glimpse is gathered: an augmentation."""
    reach = round(JITTER * geometry.glimpse_size)
    return torch.randint(-reach, reach + 1, locations.shape, generator=generator).to(locations.device)


def save_state(
    path: Path,
    task: dict[str, Any],
    iteration: int,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Writes the state of an interrupted training beside its name, then renames."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for number, slot in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in slot.items()}
    save_tensors(path, tensors, {"task": task, "iteration": iteration})


def resume_state(
    path: Path, task: dict[str, Any], network: nn.Module, optimiser: torch.optim.Optimizer
) -> int:
    """Restores a saved state of the same training; the iteration to go on from.

    Raises:
        CheckpointError: the state is damaged, or of another task (both values are shown).
    """
    if not path.is_file():
        return 0
    tensors, about = load_tensors(path, "boed fit")
    for name, value in task.items():
        if about["task"].get(name) != value:
            raise CheckpointError(
                f"expected the interrupted fit in {path.parent} with {name} = {json.dumps(value)}, found "
                f"{json.dumps(about['task'].get(name))}; use the same settings or another --run folder"
            )
    own = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    network.load_state_dict(own)
    slots: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".")
            slots.setdefault(int(number), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})
    return int(about["iteration"])
