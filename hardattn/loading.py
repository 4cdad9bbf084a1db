"""A trained network from its run folder, by itself or with the data set that it was trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data.dataset import DataSet
from data.device import choose_device
from data.errors import CheckpointError, SettingsError
from data.logs import read_log
from data.registry import reopen
from data.settings import from_json
from data.tensors import load_tensors, sizes_of
from hardattn.baselines import training as whole_image
from hardattn.baselines.layers import Baseline
from hardattn.baselines.registry import BASELINES
from hardattn.baselines.training import BaselineSettings
from hardattn.model.network import HardAttention
from hardattn.objectives.registry import METHODS
from hardattn.training import checkpoint
from hardattn.training.settings import NetworkSettings, RunFile, read_run, require_fits


@dataclass(frozen=True)
class TrainedNetwork:
    """What `train` left in a run folder; all that is needed to look at images.

    Attributes:
        network: with its best weights, on the device that was asked for, in evaluation mode.
        settings: of the run.
        about: what was noted with the weights: the figures of their check, and the sweep of stopping rules
            over validation images.
        log: of the training, check by check.
        origin: the arguments of `data.registry.load` that open the data set; empty where they cannot.
    """

    network: HardAttention | Baseline
    settings: NetworkSettings | BaselineSettings
    about: Mapping[str, Any]
    log: Sequence[Mapping[str, Any]]
    origin: Mapping[str, Any]

    @property
    def method(self) -> str:
        """How it was trained; of a baseline, its name."""
        return self.settings.name

    def glimpsing(self) -> tuple[HardAttention, NetworkSettings]:
        """The network that takes glimpses; raises SettingsError for a baseline."""
        if isinstance(self.network, HardAttention) and isinstance(self.settings, NetworkSettings):
            return self.network, self.settings
        raise SettingsError(f"expected a network that takes glimpses, found the baseline {self.method}")

    def whole_image(self) -> tuple[Baseline, BaselineSettings]:
        """The network on the whole image; raises SettingsError for any other."""
        if isinstance(self.network, Baseline) and isinstance(self.settings, BaselineSettings):
            return self.network, self.settings
        raise SettingsError(f"expected the run of a baseline, found one of {self.method}")


@dataclass(frozen=True)
class Trained(TrainedNetwork):
    """The same with its data set.

    Attributes:
        dataset: of the run, or the one that was given.
    """

    dataset: DataSet


def open_network(run_folder: Path, *, device: str = "auto") -> TrainedNetwork:
    """Opens a run folder that `train` made, without any data set.

    Raises:
        CheckpointError: weights are missing, damaged or of another version.
    """
    run = read_run(run_folder)
    settings = settings_of(run, run_folder)
    network, about = _with_weights(run_folder, settings)
    log = list(read_log(run_folder / checkpoint.LOG))
    origin = _origin_of(run, settings.dataset)
    return TrainedNetwork(network.eval().to(choose_device(device)), settings, about, log, origin)


def open_trained(
    run_folder: Path, data_root: Path | None = None, *, dataset: DataSet | None = None, device: str = "auto"
) -> Trained:
    """Opens a run folder that `train` made, and its data set; no split is read yet.

    Args:
        run_folder: what `train` wrote.
        data_root: other images than those of the training.
        dataset: the data set itself, where it is not one of the registry.

    Raises:
        CheckpointError: weights are missing, damaged or of another task or version.
        DataError: the data set was made of arrays and is not given, or is not where it was.
    """
    its = open_network(run_folder, device=device)
    dataset = dataset or reopen(its.origin, data_root, str(run_folder))
    require_fits(run_folder, its.settings, dataset)
    return Trained(its.network, its.settings, its.about, its.log, dataset.origin or its.origin, dataset)


def _origin_of(run: RunFile, name: str) -> dict[str, Any]:
    """What opens the data set of this name; versions before 0.2 could leave out the name itself."""
    version = run.software.rpartition(" ")[2]
    named = {"name": name} if not version or version.startswith("0.1") else {}
    return {**named, **run.opened_with}


def settings_of(run: RunFile, run_folder: Path) -> NetworkSettings | BaselineSettings:
    """The settings that run.json has.

    Raises:
        CheckpointError: there is no method or baseline of this name, or another version wrote them.
    """
    path, values = run_folder / checkpoint.RUN, run.settings
    if "baseline" in values:
        _require_known(run, path, "baseline", BASELINES)
        return from_json(BaselineSettings, values, path=path, software=run.software)
    _require_known(run, path, "method", METHODS)
    return from_json(NetworkSettings, values, path=path, software=run.software)


def _require_known(run: RunFile, path: Path, kind: str, known: Mapping[str, Any]) -> None:
    """Raises CheckpointError for a method or a baseline that there is not, or not here."""
    name = run.settings.get(kind)
    if name not in known:
        raise CheckpointError(
            f"expected a {kind} of {', '.join(known)} in {path}, found {name!r}, written by "
            f"{run.software or 'a version that it does not name'}; a package that brings it may not be "
            "installed here"
        )


def _with_weights(
    run_folder: Path, settings: NetworkSettings | BaselineSettings
) -> tuple[HardAttention | Baseline, dict[str, Any]]:
    """The network with its best weights, and what was noted with them."""
    tensors, about = load_tensors(run_folder / checkpoint.MODEL, checkpoint.COMMAND)
    devices = range(torch.cuda.device_count())
    with sizes_of(run_folder / checkpoint.RUN), torch.random.fork_rng(devices=devices):
        network = whole_image.build(settings) if isinstance(settings, BaselineSettings) else build(settings)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"expected weights of the network of {run_folder / checkpoint.RUN}, found others ({reason})"
        ) from None
    _require_finite(network, run_folder / checkpoint.MODEL)
    return network, about


def _require_finite(network: nn.Module, path: Path) -> None:
    """Raises CheckpointError for weights that are no numbers: all answers would be none."""
    wrong = [name for name, value in network.state_dict().items() if not bool(value.isfinite().all())]
    if wrong:
        raise CheckpointError(
            f"expected finite weights in {path}, found others in {wrong[0]}; bring back a copy, or train "
            "again"
        )


def build(settings: NetworkSettings) -> HardAttention:
    """The network of these settings, untrained."""
    geometry = settings.geometry
    channels, _, _ = geometry.glimpse_shape()
    classes, steps = len(settings.classes), settings.glimpses
    return HardAttention(channels, geometry.grid(), classes, steps, **settings.recipe.network)
