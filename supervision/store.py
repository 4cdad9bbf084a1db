"""The HDF5 store of glimpse sequences: one file per data set, target, geometry and design settings.

Layout (schema 2): root attributes `schema`, `settings`, `origin` (JSON) and `software`; data sets
`image_id` (N,), `places` (N, T, 3) int16, `epe` (N, T) and `entropy` (N, T+1) float32 in nats,
`epe_map` (N, T, L) float32, `candidates` (L, 3) int16, and `done` (N,) which is written last. All of it is
allocated when the file is made, beside its name and then renamed, so that a run killed at any moment leaves
a readable file and a resumed one the same bytes as one that never stopped, but for those of three numbers
in root attributes of fixed size, `seconds`, `sequences_timed` and `made_in`: how long it took. Of stores
without them, those of schema 1, they are read from files beside. A store of one shard of the images has two
more attributes, `shard` ("2/4") and, of fixed size too, `digest`, see `supervision.merging`.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from data.errors import SettingsError, StoreError
from data.files import parse_json, write_atomically
from data.owner import owned_file
from data.places import with_sides
from data.sequences import Sequences
from data.shards import Shard
from data.version import SOFTWARE
from supervision.hdf5 import explained, opened
from supervision.layout import require_layout
from supervision.source import SequenceSource, geometry_in
from supervision.times_beside import times_beside

SCHEMA = 2
READ = (1, 2)  # schema 1 has places without a side
UNSEALED = np.bytes_(b"0" * 64)  # the digest of a shard that is not finished
TIMES = ("seconds", "sequences_timed", "made_in")  # attributes of eight bytes each


class SequenceStore(SequenceSource):
    """Sequences on disk, row n for image `ids[n]`.

    Use `SequenceStore.write_to`, within `filling`, to make or resume one, `SequenceStore.read` to use one.

    Attributes:
        origin: where the images came from.
        seconds: wall-clock time that the timed sequences took.
        sequences_timed: how many these are.
        made_in: seconds in which the store was made, with all that was learned for it.
        shard: which of the images are in it; None: all that were asked for.
    """

    path: Path

    def __init__(
        self,
        path: Path,
        settings: dict[str, Any],
        origin: dict[str, Any],
        arrays: dict[str, np.ndarray],
        times: dict[str, float],
        software: str,
        shard: Shard | None = None,
    ) -> None:
        self.path, self.settings, self.origin, self.schema = path, settings, origin, int(arrays["schema"])
        self.software, self.shard = software, shard
        self.seconds, self.made_in = times["seconds"], times["made_in"]
        self.sequences_timed = int(times["sequences_timed"])
        self.ids = torch.from_numpy(arrays["image_id"].astype(np.int64))
        self.done = torch.from_numpy(arrays["done"].astype(bool))
        self.candidates = torch.from_numpy(arrays["candidates"].astype(np.int64))
        self.steps = int(arrays["steps"])

    @classmethod
    def read(cls, path: Path) -> SequenceStore:
        """Opens a store; raises StoreError when it is missing, truncated, no store or a newer version's."""
        with opened(path, "r") as file:
            try:
                _require_readable(file, path)
                settings, origin = (_object(file, name) for name in ("settings", "origin"))
                if not isinstance(settings.get("design", {}), dict):
                    raise TypeError("the design in its settings is no object")
                require_layout(file)
                arrays = {name: file[name][()] for name in ("image_id", "done")}
                arrays["candidates"] = _with_sides(file["candidates"][()], settings, path)
                arrays["steps"] = np.asarray(file[_places_name(file)].shape[1])
                arrays["schema"] = np.asarray(file.attrs["schema"])
                software = str(file.attrs.get("software", ""))
                shard = Shard.parse(str(file.attrs["shard"])) if "shard" in file.attrs else None
                beside = times_beside(path)
                times = {name: _seconds(file.attrs.get(name, beside[name])) for name in TIMES}
            except (AttributeError, KeyError, TypeError, ValueError, SettingsError) as error:
                raise StoreError(
                    f"expected a store of glimpse sequences (schema {SCHEMA}), found {path} without "
                    f"its parts ({error}); name another file, or make it with `boed generate`"
                ) from None
        return cls(path, settings, origin, arrays, times, software, shard)

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
        shard: Shard | None = None,
        software: str = SOFTWARE,
    ) -> SequenceStore:
        """Makes a store for `ids`, or takes up the one at `path`; rows already done are kept.

        Args:
            settings: what the sequences depend on; a store with others is refused.
            ids: (N,) images, increasing.
            origin: where the images came from, for `boed show`; not compared.
            shard: which of the images `ids` are.
            software: that made the sequences.

        Raises:
            StoreError: the file was made with other settings (both values are shown) or is damaged.
        """
        if not path.exists():
            about = (settings, origin or {}, ids, steps, candidates, shard, software)
            with explained(path):
                write_atomically(path, lambda beside: _write_empty(beside, *about))
            return cls.read(path)
        store = cls.read(path)
        store.require(settings)
        store._require_shard(shard)
        store._require_sizes(steps, candidates)
        if store.schema != SCHEMA or not bool(torch.isin(ids, store.ids).all()):
            store._rearrange(ids)
        return cls.read(path)

    def _require_sizes(self, steps: int, candidates: Tensor) -> None:
        if self.steps != steps or not torch.equal(self.candidates, candidates.cpu()):
            raise StoreError(
                f"expected {self.path} with {steps} glimpses and these {len(candidates)} candidates, found "
                f"{self.steps} and {len(self.candidates)}; use the same settings or another --out file"
            )

    def _require_shard(self, shard: Shard | None) -> None:
        if self.shard != shard:
            wanted, found = (f"shard {each}" if each else "all images" for each in (shard, self.shard))
            raise StoreError(
                f"expected {self.path} for {wanted}, found it for {found}; use another --out file"
            )

    def pending(self) -> Tensor:
        """Rows that are not done, in order."""
        return (~self.done).nonzero().view(-1)

    def write(self, rows: Tensor, sequences: Sequences) -> None:
        """Writes the sequences of these rows (increasing) and then marks them done.

        Raises:
            StoreError: they have other sizes, or the file cannot be written.
        """
        shape, chosen = tuple(sequences.locations.shape), rows.numpy()
        if shape != (len(rows), self.steps, 3):
            raise StoreError(
                f"expected places ({len(rows)}, {self.steps}, 3) of row, col and side for {self.path}, found "
                f"{shape}; see `data.places.with_sides`"
            )
        with opened(self.path, "r+") as file:
            file["places"][chosen] = sequences.locations.cpu().numpy()
            file["epe"][chosen] = sequences.epe.cpu().numpy()
            file["entropy"][chosen] = sequences.entropy.cpu().numpy()
            if len(self.candidates):  # h5py cannot select rows of an array without elements
                file["epe_map"][chosen] = sequences.epe_map.cpu().numpy()
            file.flush()
            file["done"][chosen] = True
        self.done[rows] = True

    @property
    def seconds_per_sequence(self) -> float | None:
        """Mean over the timed sequences; None where there are none."""
        return self.seconds / self.sequences_timed if self.sequences_timed else None

    def add_seconds(self, seconds: float, sequences: int) -> None:
        """Adds the wall-clock seconds that so many sequences took; of none, nothing is written."""
        if sequences:
            self.seconds += seconds
            self.sequences_timed += sequences
            self._write_times()

    def add_making(self, seconds: float) -> None:
        """Adds seconds in which the store was being made."""
        self.made_in += seconds
        self._write_times()

    def _write_times(self) -> None:
        with opened(self.path, "r+") as file:
            for name in TIMES:
                file.attrs.modify(name, np.float64(getattr(self, name)))

    def load(self, rows: Tensor | None = None) -> Sequences:
        """The sequences of these rows (default: all that are done)."""
        chosen = (self.done.nonzero().view(-1) if rows is None else rows).numpy()
        with opened(self.path, "r") as file:
            places = _with_sides(file[_places_name(file)][()][chosen], self.settings, self.path)
            self._require_inside(places)
            maps = file["epe_map"][chosen] if len(self.candidates) else np.zeros((len(chosen), self.steps, 0))
            return Sequences(
                torch.from_numpy(places.astype(np.int64)),
                torch.from_numpy(file["epe"][()][chosen]),
                torch.from_numpy(file["entropy"][()][chosen]),
                torch.from_numpy(maps.astype(np.float32)),
            )

    def _require_inside(self, places: np.ndarray) -> None:
        """Raises StoreError for squares that are none, or that begin outside of the images."""
        row, col, side = np.moveaxis(places.astype(np.int64), -1, 0)
        stray = (row < 0) | (col < 0) | (side < 1)
        about = self.settings.get("geometry")  # of another version it may have more than is known here
        height, width = (about.get("height"), about.get("width")) if isinstance(about, dict) else (None, None)
        if isinstance(height, int) and isinstance(width, int):
            stray |= (row >= height) | (col >= width) | (side > max(height, width))
        if stray.any():
            raise StoreError(
                f"expected places of squares in the images of {self.path}, found "
                f"{places[stray][0].tolist()}; bring back a copy, or move it away and generate again"
            )

    def _rearrange(self, ids: Tensor) -> None:
        """The same store for other images: done rows are carried over, also those no longer asked for."""
        union = torch.from_numpy(np.union1d(ids.cpu().numpy(), self.ids.numpy()))
        with explained(self.path):
            write_atomically(self.path, lambda beside: self._write_grown(beside, union))

    def _write_grown(self, path: Path, ids: Tensor) -> None:
        """What is done, in a store of its own for these images (increasing)."""
        sizes = self.steps, self.candidates
        _write_empty(path, self.settings, self.origin, ids, *sizes, self.shard, SOFTWARE)
        grown, done = SequenceStore.read(path), self.done.nonzero().view(-1)
        if len(done):
            grown.write(torch.searchsorted(ids, self.ids[done]), self.load(done))
        grown.seconds, grown.sequences_timed = self.seconds, self.sequences_timed
        grown.add_making(self.made_in)


def filling(path: Path) -> AbstractContextManager[None]:
    """Holds a store while it is made and filled: rows move when it gets more images.

    Whoever finds it taken waits, and then takes it up.
    """
    return owned_file(path, "another command that fills it", wait=True)


def _write_empty(
    path: Path,
    settings: dict[str, Any],
    origin: dict[str, Any],
    ids: Tensor,
    steps: int,
    candidates: Tensor,
    shard: Shard | None,
    software: str,
) -> None:
    count, places = len(ids), len(candidates)
    with h5py.File(path, "w") as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["software"] = software
        file.attrs["settings"] = json.dumps(settings, sort_keys=True)
        file.attrs["origin"] = json.dumps(origin, sort_keys=True)
        for name in TIMES:
            file.attrs[name] = np.float64(0)
        if shard is not None:
            file.attrs["shard"], file.attrs["digest"] = str(shard), UNSEALED
        file["image_id"] = ids.cpu().numpy()
        file["candidates"] = candidates.cpu().numpy().astype(np.int16)
        file["places"] = np.zeros((count, steps, 3), np.int16)
        file["epe"] = np.zeros((count, steps), np.float32)
        file["entropy"] = np.zeros((count, steps + 1), np.float32)
        file["epe_map"] = np.zeros((count, steps, places), np.float32)
        file["done"] = np.zeros(count, bool)


def _seconds(value: Any) -> float:
    """A time, or a number of timed sequences."""
    seconds = float(value)
    if not 0 <= seconds < np.inf:
        raise ValueError(f"{seconds} instead of a time")
    return seconds


def _object(file: h5py.File, name: str) -> dict[str, Any]:
    """An attribute that holds a JSON object."""
    value = parse_json(file.attrs[name])
    if not isinstance(value, dict):
        raise TypeError(f"{name} is {type(value).__name__} instead of an object")
    return value


def _require_readable(file: h5py.File, path: Path) -> None:
    """Raises StoreError for a store of a schema that this version does not read."""
    schema = file.attrs.get("schema")
    if schema is not None and schema not in READ:
        raise StoreError(
            f"expected a store of glimpse sequences (schema {SCHEMA}), found {path} of schema {schema}, "
            f"written by {file.attrs.get('software', 'a version that it does not name')}; read it with that "
            "version, or make it again with `boed generate`"
        )


def _places_name(file: h5py.File) -> str:
    """Of the data set of places, in any schema that is read."""
    return "places" if file.attrs["schema"] == SCHEMA else "locations"


def _with_sides(places: np.ndarray, settings: dict[str, Any], path: Path) -> np.ndarray:
    """(..., 3) places of any schema; those of schema 1 (..., 2) get the side of a glimpse, or of the image.

    Raises:
        KeyError: a store of schema 1 that does not say what a glimpse is.
    """
    if places.shape[-1] == 3:
        return places
    return with_sides(torch.from_numpy(places), geometry_in(settings, str(path), "")).numpy()
