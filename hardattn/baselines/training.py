"""Training of a baseline: one call makes, or takes up, the run folder of a network on the whole image.

The whole image is one glimpse, as large as it: so sensor, variations and figures are those of glimpses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from data.dataset import DataSet, Split
from data.device import at_home, choose_device, one_thread
from data.errors import SettingsError
from data.geometry import Geometry
from data.gpu import mixed_precision, sent
from data.grid import Grid
from data.pool import ImagePool
from data.tracking.registry import require_tracker
from hardattn.baselines.early_exit import confidence_thresholds
from hardattn.baselines.layers import Baseline
from hardattn.baselines.networks import make_baseline
from hardattn.baselines.resolution import at_resolution, seen_at
from hardattn.model.looking import look_of
from hardattn.model.rollout import Look
from hardattn.training.budget import Budget, TimeLimit
from hardattn.training.distributed import Division, Part
from hardattn.training.learner import accuracy_and_nll
from hardattn.training.run_folder import Tracker, open_run, require_seed, run_to_the_end
from hardattn.training.settings import RunSettings, task_of
from hardattn.training.trainer import Trainer, TrainingRecipe, implied, require_precision
from supervision.batches import Batch, MixedBatches, sizes

EVALUATED_AT_ONCE = 250


@dataclass(frozen=True)
class BaselineRecipe(TrainingRecipe):
    """Hyperparameters of a baseline; those of any training are `TrainingRecipe`'s.

    Attributes:
        jitter: largest shift of a training image in each axis, as a share of its side.
        hidden, width, pooling: see `make_baseline`.
        resolution: R, images being averaged down to R x R before they are seen; None: they are not.
    """

    jitter: float = 1 / 16
    hidden: int | None = None
    width: float | None = None
    pooling: str | None = None
    resolution: int | None = None


@dataclass(frozen=True, kw_only=True)
class BaselineSettings(RunSettings):
    """What the run of a baseline is identified by.

    Attributes:
        baseline: a name of `hardattn.baselines.registry.BASELINES`.
    """

    baseline: str
    recipe: BaselineRecipe

    @property
    def name(self) -> str:
        return self.baseline


def train_baseline(
    dataset: DataSet,
    run_folder: str | PathLike[str],
    baseline: str,
    *,
    budget: Budget | None = None,
    recipe: BaselineRecipe | None = None,
    seed: int = 0,
    device: str = "auto",
    command: Sequence[str] | None = None,
    tracker: Tracker | str | None = None,
    time_limit: TimeLimit | None = None,
    accumulate: int = 1,
    precision: str = "auto",
    **chosen: Any,
) -> Path:
    """Trains a baseline into `run_folder`, or takes up the run that is there; returns the folder.

    Files, log, validation and resumption are those of `hardattn.runs.train`.

    Args:
        dataset: its train and valid splits are used.
        run_folder: see `hardattn.runs.train`.
        baseline: a name of `hardattn.baselines.registry.BASELINES`.
        recipe: default mirrors images where the class of the data set does not mind.
        command, tracker, time_limit, accumulate, precision: see `hardattn.runs.train`.
        chosen: fields of `BaselineRecipe` that are not as in `recipe`.

    Raises:
        SettingsError, CheckpointError: before anything is written.
        UnfinishedError: the time limit was reached.
    """
    require_tracker(tracker)
    require_seed(seed)
    run_folder = Path(run_folder)
    recipe = replace(recipe or BaselineRecipe(mirror=dataset.symmetric), **implied(chosen) | chosen)
    budget, geometry = budget or Budget(), one_glimpse(dataset.geometry)
    target = choose_device(device)
    division = Division.here(accumulate, target)
    require_precision(precision)
    settings = BaselineSettings(
        **task_of(dataset, geometry),
        baseline=baseline,
        seed=seed,
        fingerprint=dataset.fingerprint("train", "valid"),
        budget=budget,
        recipe=recipe,
    )
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), one_thread():
        torch.manual_seed(seed)
        network = build(settings).to(target)
        division.require(network, sizes(recipe.batch_size, None))
        division.by_first(lambda: open_run(run_folder, settings, dataset.origin, command=command))
        train, valid = (at_resolution(dataset[split], recipe.resolution) for split in ("train", "valid"))
        batches = MixedBatches(at_home(train, target), 1, recipe.batch_size, seed=seed)
        reduced = seen_at(geometry, recipe.resolution)
        validate = WholeImageValidator(at_home(valid, target), reduced)
        learner = WholeImageTrainer(network, batches.pool, reduced, recipe, seed)
        learner.division, learner.precision = division, precision
        total = budget.total(len(dataset["train"]), recipe.batch_size)
        run_to_the_end(learner, batches, validate, run_folder, budget, total, tracker, time_limit)
    return run_folder


def build(settings: BaselineSettings) -> Baseline:
    """The baseline of these settings, untrained."""
    recipe, image = settings.recipe, seen_geometry(settings).glimpse_shape()
    classes = len(settings.classes)
    return make_baseline(settings.baseline, image, classes, recipe.hidden, recipe.width, recipe.pooling)


def seen_geometry(settings: BaselineSettings) -> Geometry:
    """The geometry of what the baseline of these settings sees, as one glimpse."""
    return seen_at(settings.geometry, settings.recipe.resolution)


def one_glimpse(geometry: Geometry) -> Geometry:
    """The geometry in which a glimpse is the whole image.

    Raises:
        SettingsError: the image is no square, as glimpses are.

    >>> one_glimpse(Geometry(60, 60, 1, glimpse_size=12)).grid().locations.tolist()
    [[0, 0, 60]]
    """
    if geometry.height != geometry.width:
        raise SettingsError(
            f"expected square images with --baseline, found {geometry.height} x {geometry.width}; crop them"
        )
    return Geometry(geometry.height, geometry.width, geometry.channels, geometry.height, per_axis=1)


def whole(look: Look, grid: Grid) -> Callable[[Tensor], Tensor]:
    """Images by number, (B,) -> (B, C, H, W) values in [0, 1]: glimpses at `one_glimpse`'s only place."""

    def images(index: Tensor) -> Tensor:
        return look(index, grid.on(index.device).expand(len(index), 1, 3))[:, 0]

    return images


class WholeImageTrainer(Trainer):
    """The training of a baseline by the cross-entropy of the labels, the mean of all its exits.

    Args:
        network, geometry, recipe, seed: see `Trainer`.
        pool: the training images, uint8; those of a batch become floats on the network's device.
    """

    network: Baseline
    recipe: BaselineRecipe

    def __init__(
        self, network: Baseline, pool: ImagePool, geometry: Geometry, recipe: BaselineRecipe, seed: int
    ) -> None:
        super().__init__(network, geometry, recipe, seed, len(pool))
        self.grid, self.look = geometry.grid(), look_of(pool, geometry.known_retina(), self.device)

    def step(self, batch: Batch, fraction: float) -> None:
        """One iteration, `fraction` of the budget being used."""
        self.descend((self._weighted(part) for part in self.division.parts(batch)), fraction)

    def _weighted(self, part: Part) -> dict[str, Tensor]:
        """The loss on a part of a batch, as it counts in the whole."""
        index, labels = sent(part.batch.index, self.device), sent(part.batch.labels, self.device)
        with self.draws():
            loss = part.rows.drawn(self._loss)(index, labels)
        return {"classification": loss * part.rows.share}

    def _loss(self, index: Tensor, labels: Tensor) -> Tensor:
        """The mean over images and exits."""
        varied = self.variation(len(index))
        images = whole(varied.look(self.look, self.grid), self.grid)(index)
        with mixed_precision(self.device, self.precision):
            logits = self.network.train().at_exits(images)
            return cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(logits.shape[1]))


@torch.no_grad()
def logits_of(network: Baseline, split: Split, geometry: Geometry) -> Tensor:
    """(N, E, K) logits of all images of a split, at all exits, in evaluation mode; on the CPU.

    Args:
        split: images as the network sees them.
        geometry: of these images.
    """
    network.eval()
    look = look_of(ImagePool([split]), geometry.known_retina(), network.device)
    images = whole(look, geometry.grid())
    parts = torch.arange(len(split), device=network.device).split(EVALUATED_AT_ONCE)
    with one_thread():
        return torch.cat([network.at_exits(images(index)) for index in parts]).cpu()


def read_at_exits(network: Baseline, split: Split, settings: BaselineSettings) -> Tensor:
    """(N, E, K) the same for images as the data set has them, settings being those of the run."""
    geometry = seen_geometry(settings)
    return logits_of(network, at_resolution(split, geometry.height), geometry)


class WholeImageValidator:
    """Figures of a baseline on the validation images."""

    def __init__(self, split: Split, geometry: Geometry) -> None:
        self.split, self.geometry = split, geometry

    def __call__(self, network: Baseline) -> tuple[dict[str, Any], dict[str, Any]]:
        """NLL and accuracy at the last exit; thresholds of the confidence, where there are several."""
        every = logits_of(network, self.split, self.geometry)
        accuracy, nll = accuracy_and_nll(every[:, -1:], self.split.labels.cpu())
        figures = {"nll": nll[-1], "accuracy": accuracy[-1], "nll_at": nll, "accuracy_at": accuracy}
        return figures, {"thresholds": confidence_thresholds(every)}
