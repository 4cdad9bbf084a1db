"""A network whose encoder begins with what a fit, another network, or a package has learned."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from boed.saved import read_posterior
from data.errors import SettingsError
from hardattn.loading import open_network
from hardattn.model.local_encoder import LocalGlimpse
from hardattn.model.network import HardAttention
from hardattn.model.registry import ENCODERS
from hardattn.training.checkpoint import RUN

PREFIX = "q.local."


@dataclass(frozen=True)
class LearnedFeatures:
    """The `boed.posteriors.local_features.LocalFeatures` of a posterior, from `learned_features`.

    Attributes:
        tensors: their state.
    """

    tensors: Mapping[str, Tensor]

    def digest(self) -> str:
        """What identifies them in the settings of a run."""
        hasher = hashlib.sha256()
        for _, value in sorted(self.tensors.items()):
            hasher.update(value.cpu().contiguous().numpy().tobytes())
        return hasher.hexdigest()

    def put_into(self, network: HardAttention) -> None:
        """Copies them into the encoder of a network; raises SettingsError where they do not fit."""
        encoder = network.what
        if not isinstance(encoder, LocalGlimpse):
            raise SettingsError("expected --encoder local with --features, found another; take it")
        own = {name: value.shape for name, value in encoder.local.state_dict().items()}
        if own != {name: value.shape for name, value in self.tensors.items()}:
            features = [value for value in self.tensors.values() if value.dim() == 4][-1].shape[0]
            raise SettingsError(
                f"expected an encoder of {features} local features, found one of another size; take "
                f"--hidden {2 * features}, and glimpses as in the fit"
            )
        encoder.local.load_state_dict(dict(self.tensors))


@dataclass(frozen=True)
class LearnedEncoder(LearnedFeatures):
    """The encoder of a trained network, for one whose glimpses may have another side.

    Attributes:
        tensors: its state.
    """

    def put_into(self, network: HardAttention) -> None:
        """Copies it into the encoder of a network; raises SettingsError where that is not built alike."""
        own = {name: value.shape for name, value in network.what.state_dict().items()}
        if own != {name: value.shape for name, value in self.tensors.items()}:
            raise SettingsError(
                "expected --features of an encoder that is built as this one, found another; take the same "
                "--encoder, --hidden and --batch-norm as that run, on images of as many channels"
            )
        network.what.load_state_dict(dict(self.tensors))


@dataclass(frozen=True)
class PretrainedEncoder(LearnedFeatures):
    """What a package has of an encoder that has seen other images, from `pretrained_encoder`.

    Attributes:
        tensors: its state, as it is published.
    """

    def put_into(self, network: HardAttention) -> None:
        """Copies into the encoder of a network what that has of it."""
        network.what.load_pretrained(self.tensors)


def pretrained_encoder(name: str) -> PretrainedEncoder | None:
    """What the encoder of this name begins with, if nothing else is given; None: at random.

    Raises:
        SettingsError: its package is not installed.

    >>> pretrained_encoder("conv") is None
    True
    """
    pretrained = getattr(ENCODERS[name], "pretrained", None)
    return pretrained and PretrainedEncoder(pretrained())


def learned_encoder(folder: Path) -> LearnedEncoder:
    """The encoder of the run in a folder, for example of one that was trained on whole images.

    Raises:
        CheckpointError: the run is missing or damaged.
        SettingsError: it is that of a baseline.
    """
    network, _ = open_network(folder, device="cpu").glimpsing()
    return LearnedEncoder(network.what.state_dict())


def features_in(folder: Path) -> LearnedFeatures:
    """What there is to begin with in a folder: the encoder of a run, or the local features of a fit."""
    return learned_encoder(folder) if (folder / RUN).exists() else learned_features(folder)


def learned_features(folder: Path) -> LearnedFeatures:
    """Those of the fit in a folder of approximations.

    Raises:
        CheckpointError: there is no fit, or it is damaged.
        SettingsError: its posterior has none.
    """
    tensors, about = read_posterior(folder)
    found = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    if not found:
        posterior = about.get("settings", {}).get("posterior")
        raise SettingsError(
            f"expected approximations of the posterior glimpse-max or glimpse-sum-max in {folder}, found "
            f"{posterior}; fit one of these"
        )
    return LearnedFeatures(found)
