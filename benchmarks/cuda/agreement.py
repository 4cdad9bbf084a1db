"""How far what a GPU computes is from what the CPU does, stage by stage, on the same weights and images.

Nothing is drawn where a stage is compared, as each device draws by its own generator. Figures are the largest
differences: grey levels of 255, nats, probabilities; of a gradient relative to its norm. All in float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.cuda.precisions import precision
from boed.approximations import Approximations
from boed.fitting.fit import fit
from boed.search.designer import Designer, design_sequences
from data.dataset import DataSet
from data.pool import ImagePool
from data.sequences import Sequences
from hardattn.model.looking import look_at_all, look_of
from hardattn.model.network import HardAttention
from hardattn.objectives.registry import METHODS
from hardattn.training.learner import Learner
from hardattn.training.recipe import Recipe
from supervision.batches import MixedBatches

CPU = torch.device("cpu")
Figures = dict[str, float]


def agreement(dataset: DataSet, device: torch.device, folder: Path, images: int, iterations: int) -> Figures:
    """Of every stage.

    Args:
        dataset: small.
        device: that is compared with the CPU.
        folder: for approximations that are fitted on the CPU.
        images: how many are looked at.
        iterations: of the fit.
    """
    with precision("float32", device):
        return {
            "glimpses_grey_levels": glimpses(dataset, device, images),
            **designs(dataset, device, folder, images, iterations),
            "prediction_probability": predictions(dataset, device, images),
            **training(dataset, device, images),
        }


def glimpses(dataset: DataSet, device: torch.device, images: int) -> float:
    """The sensor at all places of the grid."""
    geometry, seen = dataset.geometry, list[Tensor]()
    places = geometry.grid().locations.expand(images, -1, -1)
    for each in (CPU, device):
        look = look_of(ImagePool([dataset["test"].to(each)]), geometry.known_retina(), each)
        seen.append(look(torch.arange(images, device=each), places.to(each)).cpu())
    return 255 * apart(*seen)


def designs(dataset: DataSet, device: torch.device, folder: Path, images: int, iterations: int) -> Figures:
    """Posterior entropies, EPE maps and the places that are chosen by them."""
    fit(dataset, folder, device=CPU, iterations=iterations, trial_images=images)
    found = list[Sequences]()
    for each in (CPU, device):
        designer = Designer(Approximations.load(folder, dataset, each))
        split, rows = dataset["design"].to(each), torch.arange(images, device=each)
        steps = designer.learned.glimpses
        found.append(design_sequences(designer, split, rows, steps, designer.weights, seed=0).cpu())
    here, there = found
    return {
        "prior_entropy_nats": apart(here.entropy[:, 0], there.entropy[:, 0]),
        "first_epe_map_nats": apart(here.epe_map[:, 0], there.epe_map[:, 0]),
        "share_of_places_alike": float((here.locations == there.locations).all(-1).double().mean()),
    }


def predictions(dataset: DataSet, device: torch.device, images: int) -> float:
    """Class probabilities along the network's own glimpses."""
    learner, split = learner_of(dataset, CPU, images)[0], dataset["test"].take(torch.arange(images))
    chances = list[Tensor]()
    for each in (CPU, device):
        network = learner.network.to(each)
        rollout = look_at_all(network, split.to(each), dataset.geometry, dataset.glimpses, mode="greedy")
        chances.append(rollout.logits.softmax(-1))
    return apart(*chances)


def training(dataset: DataSet, device: torch.device, images: int) -> Figures:
    """The loss of one step that imitates, and its gradient."""
    losses, gradients = list[Tensor](), list[Tensor]()
    for each in (CPU, device):
        learner, batches = learner_of(dataset, each, images)
        with patch("hardattn.training.trainer.is_check", return_value=True):  # notes its terms
            learner.step(next(iter(batches)), 0.5)
        weights = learner.network.parameters()
        gradients.append(torch.cat([w.grad.flatten().cpu() for w in weights if w.grad is not None]))
        losses.append(torch.tensor(list(learner.terms.values())))
    return {
        "loss_nats": apart(*losses),
        "gradient_relative": float((gradients[0] - gradients[1]).norm() / gradients[0].norm()),
    }


def learner_of(dataset: DataSet, device: torch.device, images: int) -> tuple[Learner, MixedBatches]:
    """One that draws nothing but its first weights, and its batches: all of the images."""
    torch.manual_seed(0)
    still: dict[str, Any] = {"dropout": 0.0, "jitter": 0.0, "tone": 0.0, "supervised_share": 1.0}
    method, geometry = METHODS["nogs-all"], dataset.geometry
    recipe = Recipe.suited(method, symmetric=False, aligned=False, batch_size=images, **still)
    grid, steps = geometry.grid(), dataset.glimpses
    shape = (geometry.glimpse_shape()[0], grid, len(dataset.classes), steps)
    network = HardAttention(*shape, **recipe.network).to(device)
    split = dataset["design"].take(torch.arange(images)).to(device)
    places = grid.locations[(torch.arange(images)[:, None] + 7 * torch.arange(steps)) % len(grid)]
    batches = MixedBatches(
        split, steps, images, supervised=split, locations=places, supervised_share=1.0, seed=0
    )
    return Learner(network, method, batches, geometry, recipe, 0), batches


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, where both are finite."""
    both = one.isfinite() & other.isfinite()
    return float((one - other)[both].abs().max()) if bool(both.any()) else 0.0
