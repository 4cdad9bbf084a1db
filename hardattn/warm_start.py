"""A network that begins with what a fit has learned: how parts look, wherever in a glimpse they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from boed.saved import read_posterior
from data.errors import SettingsError
from hardattn.model.local_encoder import LocalGlimpse
from hardattn.model.network import HardAttention

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
