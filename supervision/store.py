"""The HDF5 store of glimpse sequences: one file per data set, target, geometry and design settings.

Layout (schema 2): root attributes `schema`, `settings`, `origin` (JSON) and `software`; data sets
`image_id` (N,), `places` (N, T, 3) int16, `epe` (N, T) and `entropy` (N, T+1) float32 in nats,
`epe_map` (N, T, L) float32, `candidates` (L, 3) int16, and `done` (N,) which is written last. All of it is
allocated when the file is made, beside its name and then renamed, so that a run killed at any moment leaves
a readable file and a resumed one the same bytes as one that never stopped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from data.errors import StoreError
from data.version import SOFTWARE

SCHEMA = 2
READ = (1, 2)  # schema 1 has places without a side, and a first glance at (GLANCE, GLANCE)
GLANCE = -(2**15)


@dataclass(frozen=True)
class Sequences:
    """Glimpse sequences of B images.

    Attributes:
        locations: (B, T, 3) int64 places.
        epe: (B, T) score of the chosen location in nats (an estimate of, or bound on, the EPE).
        entropy: (B, T+1) posterior entropy before the first and after each glimpse, in nats.
        epe_map: (B, T, L) score of every candidate in nats.
    """

    locations: Tensor
    epe: Tensor
    entropy: Tensor
    epe_map: Tensor


class SequenceStore:
    """Sequences on disk, row n for image `ids[n]`.

    Use `SequenceStore.write_to` to make or resume one, `SequenceStore.read` to use one.
    """

    def __init__(
        self, path: Path, settings: dict[str, Any], origin: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> None:
        self.path, self.settings, self.origin, self.schema = path, settings, origin, int(arrays["schema"])
        self.ids = torch.from_numpy(arrays["image_id"].astype(np.int64))
        self.done = torch.from_numpy(arrays["done"].astype(bool))
        self.candidates = torch.from_numpy(arrays["candidates"].astype(np.int64))
        self.steps = int(arrays["steps"])

    @classmethod
    def read(cls, path: Path) -> SequenceStore:
        """Opens a store; raises StoreError when it is missing, truncated or no store."""
        with _opened(path, "r") as file:
            try:
                if file.attrs["schema"] not in READ:
                    raise ValueError(f"schema {file.attrs['schema']}")
                settings, origin = (json.loads(file.attrs[name]) for name in ("settings", "origin"))
                arrays = {name: file[name][()] for name in ("image_id", "done")}
                arrays["candidates"] = _with_sides(file["candidates"][()], settings)
                arrays["steps"] = np.asarray(file[_places_name(file)].shape[1])
                arrays["schema"] = np.asarray(file.attrs["schema"])
            except (KeyError, OSError, TypeError, ValueError) as error:
                raise StoreError(
                    f"expected a store of glimpse sequences (schema {SCHEMA}), found {path} without "
                    f"its parts ({error}); make it again with `boed generate`"
                ) from None
        return cls(path, settings, origin, arrays)

    @classmethod
    def write_to(
        cls,
        path: Path,
        settings: dict[str, Any],
        ids: Tensor,
        steps: int,
        candidates: Tensor,
        *,
        origin: dict[str, Any] | None = None,
    ) -> SequenceStore:
        """Makes a store for `ids`, or takes up the one at `path`; rows already done are kept.

        Args:
            settings: what the sequences depend on; a store with others is refused.
            ids: (N,) images, increasing.
            origin: where the images came from, for `boed show`; not compared.

        Raises:
            StoreError: the file was made with other settings (both values are shown) or is damaged.
        """
        if not path.exists():
            _allocate(path, settings, origin or {}, ids, steps, candidates)
            return cls.read(path)
        store = cls.read(path)
        store.require(settings)
        store._require_sizes(steps, candidates)
        if store.schema != SCHEMA or not bool(torch.isin(ids, store.ids).all()):
            store._rearrange(ids)
        return cls.read(path)

    def require(self, settings: dict[str, Any]) -> None:
        """Raises StoreError, naming both values, when the store was made with other settings."""
        for name, expected in settings.items():
            found = self.settings.get(name)
            if json.dumps(found, sort_keys=True) != json.dumps(expected, sort_keys=True):
                raise StoreError(
                    f"expected {self.path} with {name} = {json.dumps(expected)}, found {json.dumps(found)}; "
                    "use the same settings or another --out file"
                )

    def _require_sizes(self, steps: int, candidates: Tensor) -> None:
        if self.steps != steps or not torch.equal(self.candidates, candidates.cpu()):
            raise StoreError(
                f"expected {self.path} with {steps} glimpses and these {len(candidates)} candidates, found "
                f"{self.steps} and {len(self.candidates)}; use the same settings or another --out file"
            )

    def rows_of(self, ids: list[int]) -> Tensor:
        """Rows of these images, increasing; raises StoreError for one without a finished sequence."""
        finished = set(self.ids[self.done].tolist())
        missing = [i for i in ids if i not in finished]
        if missing or not ids:
            raise StoreError(
                f"expected finished sequences of the images asked for in {self.path}, found none of "
                f"{missing}; there are {len(finished)} finished ones"
            )
        return torch.searchsorted(self.ids, torch.tensor(sorted(set(ids))))

    def pending(self) -> Tensor:
        """Rows that are not done, in order."""
        return (~self.done).nonzero().view(-1)

    def write(self, rows: Tensor, sequences: Sequences) -> None:
        """Writes the sequences of these rows (increasing) and then marks them done."""
        chosen = rows.numpy()
        with _opened(self.path, "r+") as file:
            file["places"][chosen] = sequences.locations.cpu().numpy()
            file["epe"][chosen] = sequences.epe.cpu().numpy()
            file["entropy"][chosen] = sequences.entropy.cpu().numpy()
            if len(self.candidates):  # h5py cannot select rows of an array without elements
                file["epe_map"][chosen] = sequences.epe_map.cpu().numpy()
            file.flush()
            file["done"][chosen] = True
        self.done[rows] = True

    def load(self, rows: Tensor | None = None) -> Sequences:
        """The sequences of these rows (default: all that are done)."""
        chosen = (self.done.nonzero().view(-1) if rows is None else rows).numpy()
        with _opened(self.path, "r") as file:
            places = _with_sides(file[_places_name(file)][()][chosen], self.settings)
            maps = file["epe_map"][chosen] if len(self.candidates) else np.zeros((len(chosen), self.steps, 0))
            return Sequences(
                torch.from_numpy(places.astype(np.int64)),
                torch.from_numpy(file["epe"][()][chosen]),
                torch.from_numpy(file["entropy"][()][chosen]),
                torch.from_numpy(maps.astype(np.float32)),
            )

    def _rearrange(self, ids: Tensor) -> None:
        """The same store for other images: done rows are carried over, also those no longer asked for."""
        union = torch.from_numpy(np.union1d(ids.cpu().numpy(), self.ids.numpy()))
        beside = self.path.with_name(self.path.name + ".grown")
        _allocate(beside, self.settings, self.origin, union, self.steps, self.candidates)
        done = self.done.nonzero().view(-1)
        if len(done):
            grown = SequenceStore.read(beside)
            grown.write(torch.searchsorted(union, self.ids[done]), self.load(done))
        beside.replace(self.path)


def _allocate(
    path: Path,
    settings: dict[str, Any],
    origin: dict[str, Any],
    ids: Tensor,
    steps: int,
    candidates: Tensor,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    count, places = len(ids), len(candidates)
    with h5py.File(beside, "w") as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["software"] = SOFTWARE
        file.attrs["settings"] = json.dumps(settings, sort_keys=True)
        file.attrs["origin"] = json.dumps(origin, sort_keys=True)
        file["image_id"] = ids.cpu().numpy()
        file["candidates"] = candidates.cpu().numpy().astype(np.int16)
        file["places"] = np.zeros((count, steps, 3), np.int16)
        file["epe"] = np.zeros((count, steps), np.float32)
        file["entropy"] = np.zeros((count, steps + 1), np.float32)
        file["epe_map"] = np.zeros((count, steps, places), np.float32)
        file["done"] = np.zeros(count, bool)
    beside.replace(path)


def _places_name(file: h5py.File) -> str:
    """Of the data set of places, in any schema that is read."""
    return "places" if file.attrs["schema"] == SCHEMA else "locations"


def _with_sides(places: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """(..., 3) places of any schema; those of schema 1 (..., 2) get the side of a glimpse, or of the image.

    Raises:
        KeyError: a store of schema 1 that does not say what a glimpse is.
    """
    if places.shape[-1] == 3:
        return places
    geometry = settings["geometry"]
    glance = (places == GLANCE).all(-1, keepdims=True)
    side = np.where(glance, max(geometry["height"], geometry["width"]), geometry["glimpse_size"])
    return np.concatenate([np.where(glance, 0, places), side], -1)


def _opened(path: Path, mode: str) -> h5py.File:
    if not path.is_file():
        raise StoreError(
            f"expected a store of glimpse sequences at {path}, found none; make it with `boed generate`"
        )
    try:
        return h5py.File(path, mode)
    except BlockingIOError:
        raise StoreError(
            f"expected {path} to be free, found it in use by another process; wait for it"
        ) from None
    except OSError as error:
        raise StoreError(
            f"expected a whole HDF5 file, found {path} truncated or damaged ({error}); "
            "delete it and generate again"
        ) from None
