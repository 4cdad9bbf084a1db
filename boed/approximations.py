"""The learned approximations of one task, together: q, r's bank, the codebook and the shrinkage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boed.glimpse_set import GlimpseSetPosterior
from boed.retrieval import RetrievalCompletion
from data.dataset import DataSet, Split
from data.errors import CheckpointError
from data.geometry import Geometry
from data.grid import normalise
from data.tensors import load_tensors, save_tensors

FILE = "approximations.safetensors"
CHUNK = 200


@dataclass
class Approximations:
    """What `boed fit` learns and `boed generate` uses.

    Attributes:
        q: the posterior, calibrated, in evaluation mode.
        bank: labelled images that q was not trained on: completions and reference for averages.
        places: (L, 2) the codebook of candidate locations.
        weights: (T,) weight of an image's own map at each step; the rest is the average map.
        geometry: sensor and grid.
        settings: what was asked for, JSON-able.
    """

    q: GlimpseSetPosterior
    bank: Split
    places: Tensor
    weights: tuple[float, ...]
    geometry: Geometry
    settings: dict[str, Any]

    @property
    def glimpses(self) -> int:
        return int(self.settings["glimpses"])

    @cached_property
    def completion(self) -> RetrievalCompletion:
        return RetrievalCompletion(self.bank, self.geometry.retina(), self.settings["target_ess"])

    @cached_property
    def bank_embeddings(self) -> Tensor:
        """(M, L, D) float32: every bank image at every place, embedded once."""
        return embed_places(self.q, self.bank, self.places, self.geometry)

    @cached_property
    def digest(self) -> str:
        """Hash of everything that designs depend on."""
        hasher = hashlib.sha256(self.bank.fingerprint.encode())
        for tensor in [*self.q.state_dict().values(), self.places, self.bank.ids, torch.tensor(self.weights)]:
            hasher.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return hasher.hexdigest()

    def save(self, folder: Path) -> None:
        tensors = {f"q.{name}": value for name, value in self.q.state_dict().items()}
        tensors |= {"places": self.places, "bank_ids": self.bank.ids}
        about = {
            "weights": list(self.weights),
            "settings": self.settings,
            "geometry": self.geometry.to_json(),
            "train_fingerprint": self.bank.fingerprint,
        }
        save_tensors(folder / FILE, tensors, about)

    @classmethod
    def load(cls, folder: Path, dataset: DataSet, device: torch.device | str = "cpu") -> Approximations:
        """Raises CheckpointError when missing, damaged, or fitted on other training images."""
        tensors, about = load_tensors(folder / FILE, "boed fit")
        train = dataset["train"]
        if about["train_fingerprint"] != train.fingerprint or about["settings"]["target"] != dataset.target:
            raise CheckpointError(
                f"expected approximations of {dataset.name} {dataset.target} ({train.fingerprint[:12]}) in "
                f"{folder}, found those of {about['settings']['dataset']} {about['settings']['target']} "
                f"({about['train_fingerprint'][:12]}); use another --run folder or fit again"
            )
        geometry = Geometry(**about["geometry"])
        q = new_posterior(geometry, len(dataset.classes), about["settings"])
        q.load_state_dict(
            {name.removeprefix("q."): value for name, value in tensors.items() if name.startswith("q.")}
        )
        bank = train.take(torch.searchsorted(train.ids.cpu(), tensors["bank_ids"])).to(device)
        return cls(
            q.eval().to(device),
            bank,
            tensors["places"].to(device),
            tuple(about["weights"]),
            geometry,
            about["settings"],
        )


def new_posterior(geometry: Geometry, classes: int, settings: dict[str, Any]) -> GlimpseSetPosterior:
    """An untrained q of the size that the settings name."""
    return GlimpseSetPosterior(
        geometry.glimpse_shape(), classes, int(settings["glimpses"]), int(settings["width"])
    )


def centres_of(locations: Tensor, geometry: Geometry) -> Tensor:
    """Normalised centres of top-left pixels (..., 2)."""
    return normalise(locations, geometry.glimpse_size, (geometry.height, geometry.width))


@torch.no_grad()
def embed_places(q: GlimpseSetPosterior, split: Split, places: Tensor, geometry: Geometry) -> Tensor:
    """(M, L, D) embeddings of every image of the split at every place."""
    retina, centres = geometry.retina(), centres_of(places, geometry)
    rows = torch.arange(len(split), device=places.device)
    parts: Sequence[Tensor] = [
        q.embed(
            retina(split.images, chunk, places.expand(len(chunk), -1, -1)), centres.expand(len(chunk), -1, -1)
        )
        for chunk in rows.split(CHUNK)
    ]
    return torch.cat(list(parts))
