"""A trained network with the task that it was trained for, from its run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.dataset import DataSet
from data.device import choose_device
from data.errors import CheckpointError
from data.geometry import Geometry
from data.registry import load
from data.tensors import load_tensors
from hardattn.baselines import training as whole_image
from hardattn.baselines.layers import Baseline
from hardattn.baselines.registry import BASELINES
from hardattn.model.network import HardAttention
from hardattn.objectives.registry import METHODS
from hardattn.training import checkpoint
from hardattn.training.recipe import Recipe


@dataclass(frozen=True)
class Trained:
    """What `train` left in a run folder.

    Attributes:
        network: with its best weights, on the device that was asked for.
        method: how it was trained; of a baseline, its name.
        settings: of the run.
        about: what was noted with the weights.
        dataset: of the run, or the one that was given.
        origin: the arguments of `data.registry.load` that open it again.
    """

    network: HardAttention | Baseline
    method: str
    settings: dict[str, Any]
    about: dict[str, Any]
    dataset: DataSet
    origin: dict[str, Any]


def open_trained(
    run_folder: Path, data_root: Path | None = None, *, dataset: DataSet | None = None, device: str = "auto"
) -> Trained:
    """Opens a run folder that `train` made, and its data set; no split is read yet.

    Args:
        run_folder: what `train` wrote.
        data_root: other images than those of the training.
        dataset: the data set itself, where it is not one of the registry.

    Raises:
        CheckpointError: weights are missing, damaged or of another task.
    """
    run = checkpoint.read_json(run_folder / checkpoint.RUN)
    try:
        settings, opened_with = run["settings"], run["opened_with"]
        origin, method = {"name": settings["dataset"]} | opened_with, _method(settings)
    except KeyError as error:
        raise CheckpointError(
            f"expected a training run in {run_folder}, found run.json without {error}"
        ) from None
    origin |= {"data_root": str(data_root.resolve())} if data_root else {}
    dataset = dataset or load(**origin)
    checkpoint.require_fits(run_folder, settings, dataset)
    network, about = _with_weights(run_folder, settings)
    return Trained(network.to(choose_device(device)), method, settings, about, dataset, origin)


def _method(settings: dict[str, Any]) -> str:
    """The method or baseline of a run; raises KeyError for none, or one that is not known."""
    kind, known = ("baseline", set(BASELINES)) if "baseline" in settings else ("method", set(METHODS))
    name: str = settings[kind]
    if name not in known:
        raise KeyError(name)
    return name


def _with_weights(
    run_folder: Path, settings: dict[str, Any]
) -> tuple[HardAttention | Baseline, dict[str, Any]]:
    """The network with its best weights, and what was noted with them."""
    tensors, about = load_tensors(run_folder / checkpoint.MODEL, checkpoint.COMMAND)
    network = whole_image.build(settings) if "baseline" in settings else build(settings)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"expected weights of the network of {run_folder / checkpoint.RUN}, found others ({reason})"
        ) from None
    return network, about


def build(settings: dict[str, Any]) -> HardAttention:
    """The network of these settings, untrained."""
    geometry, recipe = Geometry(**settings["geometry"]), Recipe(**settings["recipe"])
    channels, _, _ = geometry.glimpse_shape()
    return HardAttention(channels, geometry.grid(), len(settings["classes"]), **recipe.network)
