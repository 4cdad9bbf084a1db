"""What a training run is identified by, and what its run.json says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data.dataset import DataSet
from data.errors import CheckpointError
from data.geometry import Geometry
from data.settings import from_json
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe
from hardattn.training.trainer import TrainingRecipe


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a network shares with a data set.

    Attributes:
        dataset, target: names of data set and target.
        classes: names of the K classes.
        geometry: of image, glimpse and grid; a baseline has one glimpse that is the whole image.
    """

    dataset: str
    target: str
    classes: tuple[str, ...]
    geometry: Geometry


def task_of(dataset: DataSet, geometry: Geometry) -> dict[str, Any]:
    """The fields of a `Task`."""
    facts = {"dataset": dataset.name, "target": dataset.target, "classes": tuple(dataset.classes)}
    return {**facts, "geometry": geometry}


@dataclass(frozen=True, kw_only=True)
class RunSettings(Task, ABC):
    """What decides whether two trainings are the same; of networks and baselines alike.

    Attributes:
        seed: of weights, batches and draws.
        fingerprint: of the training and validation images.
        budget: length of the training.
        recipe: its hyperparameters.
    """

    seed: int
    fingerprint: str
    budget: Budget
    recipe: TrainingRecipe

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the method, or of the baseline."""

    def to_json(self) -> dict[str, Any]:
        """As run.json has it."""
        return asdict(self) | {"geometry": self.geometry.to_json()}


@dataclass(frozen=True)
class Supervision:
    """The sequences that a run imitates.

    Attributes:
        images: how many have one.
        checksum: of their locations.
        settings: of their store.
    """

    images: int
    checksum: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Distillation:
    """The baseline whose class probabilities are mixed into the labels.

    Attributes:
        baseline: its name.
        weights: their digest.
        share: of its probabilities.
    """

    baseline: str
    weights: str
    share: float


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(RunSettings):
    """Those of a hard-attention network.

    Attributes:
        method: a name of `hardattn.objectives.registry.METHODS`.
        glimpses: T.
        features: digest of what a fit had learned and the encoder began with, see `hardattn.warm_start`.
    """

    method: str
    glimpses: int
    recipe: Recipe
    supervision: Supervision | None = None
    distillation: Distillation | None = None
    features: str | None = None

    @property
    def name(self) -> str:
        return self.method


@dataclass(frozen=True)
class RunFile:
    """What run.json says.

    Attributes:
        settings: see `RunSettings`, as JSON.
        software: that wrote it.
        opened_with: the arguments of `data.registry.load`; empty for a data set that is not of the registry.
        imitated: where the sequences lie, seen from the folder that the run's lies in, and how many were
            asked for.
        command: the command line that began it; None: it was begun in Python, or by an older version.
    """

    settings: Mapping[str, Any]
    software: str = ""
    opened_with: Mapping[str, Any] = field(default_factory=dict)
    imitated: Mapping[str, Any] | None = None
    command: Sequence[str] | None = None

    def to_json(self) -> dict[str, Any]:
        """As run.json has it, the software first."""
        return {"software": self.software, **asdict(self)}


def read_run(folder: Path) -> RunFile:
    """What run.json of a folder says.

    Raises:
        CheckpointError: it is missing, damaged, or not of a training run.
    """
    path = folder / checkpoint.RUN
    values = checkpoint.read_json(path)
    if "settings" not in values:
        raise CheckpointError(f"expected a training run in {folder}, found run.json without 'settings'")
    return from_json(RunFile, values, path=path, software=str(values.get("software", "")))


def require_fits(path: Path, own: Task, dataset: DataSet) -> None:
    """Raises CheckpointError when the network of `path` was trained for another task than `dataset`'s."""
    image, kept = dataset.geometry, own.geometry
    same = (image.height, image.width, image.channels) == (kept.height, kept.width, kept.channels)
    offered = task_of(dataset, kept if same else image)  # glimpse and grid are the network's
    learned = {name: getattr(own, name) for name in offered}
    checkpoint.require_same(path, _plain(offered), _plain(learned))


def _plain(task: Mapping[str, Any]) -> dict[str, Any]:
    return {**task, "classes": list(task["classes"]), "geometry": task["geometry"].to_json()}
