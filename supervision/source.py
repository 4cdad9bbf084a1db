"""The contract of glimpse sequences that a network is trained on: a store on disk, or designs in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from data.errors import CheckpointError, StoreError
from data.geometry import Geometry
from data.sequences import Sequences
from data.settings import from_json


class SequenceSource(Protocol):
    """Sequences of N images, of which some may not be done.

    Attributes:
        path: of the file that they are in; None: they are in memory.
        settings: what they depend on, JSON-able.
        software: that made them; "" where that is not known.
        ids: (N,) int64 images, increasing.
        done: (N,) bool which of them have a finished sequence.
        candidates: (L, 3) int64 places that the maps are over.
        steps: T.
    """

    path: Path | None
    settings: dict[str, Any]
    software: str = ""
    ids: Tensor
    done: Tensor
    candidates: Tensor
    steps: int

    @property
    def name(self) -> str:
        """For messages."""
        return "the designs in memory" if self.path is None else str(self.path)

    @property
    def geometry(self) -> Geometry:
        """That they are for.

        Raises:
            StoreError: they do not say, or another version of this software says it otherwise.
        """
        if "geometry" not in self.settings:
            raise StoreError(
                f"expected a geometry in the settings of {self.name}, found none; make it again with one, "
                "see `data.geometry.Geometry.to_json`"
            )
        return geometry_in(self.settings, self.name, self.software)

    def load(self, rows: Tensor | None = None) -> Sequences:
        """The sequences of these rows (default: all that are done)."""
        ...

    def require(self, settings: dict[str, Any]) -> None:
        """Raises StoreError, naming both values, where they were made with other settings."""
        for name, expected in settings.items():
            found = self.settings.get(name)
            if json.dumps(found, sort_keys=True) != json.dumps(expected, sort_keys=True):
                raise StoreError(
                    f"expected {self.name} with {name} = {json.dumps(expected)}, found {json.dumps(found)}; "
                    "use the same settings or another --out file"
                )

    def rows_of(self, ids: list[int]) -> Tensor:
        """Rows of these images, increasing; raises StoreError for one without a finished sequence."""
        finished = set(self.ids[self.done].tolist())
        missing = [i for i in ids if i not in finished]
        if missing or not ids:
            raise StoreError(
                f"expected finished sequences of the images asked for in {self.name}, found none of "
                f"{missing}; there are {len(finished)} finished ones"
            )
        return torch.searchsorted(self.ids, torch.tensor(sorted(set(ids))))


def geometry_in(settings: dict[str, Any], name: str, software: str) -> Geometry:
    """The geometry among the settings of sequences; raises StoreError for that of another version."""
    try:
        return from_json(Geometry, settings["geometry"], path=Path(name), software=software)
    except CheckpointError as error:
        raise StoreError(str(error)) from None
