"""What sequences say about themselves: the geometry that they are for."""

import json
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_store

from data.errors import StoreError
from supervision.store import SequenceStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tiny_store(tmp_path / "s.h5", tiny_dataset())
    return tmp_path / "s.h5"


def with_settings(path: Path, settings: dict[str, Any], software: str) -> SequenceStore:
    """The store as another program, or another version of this one, would have written it."""
    with h5py.File(path, "r+") as file:
        file.attrs["settings"], file.attrs["software"] = json.dumps(settings), software
    return SequenceStore.read(path)


def test_the_geometry_is_that_of_the_settings(path: Path) -> None:
    geometry = {**GEOMETRY.to_json(), "per_axis": 2}
    store = with_settings(path, {"geometry": geometry}, "")
    assert store.geometry.per_axis == 2 and store.geometry.image_size == GEOMETRY.image_size


def test_a_geometry_of_another_version_is_refused_by_name(path: Path) -> None:
    store = with_settings(path, {"geometry": GEOMETRY.to_json() | {"foveation": 2}}, "boed-hardattn 9.9")
    with pytest.raises(StoreError, match=r"found unknown foveation, written by boed-hardattn 9\.9"):
        _ = store.geometry
    assert len(store.load().locations) == int(store.done.sum())  # the sequences themselves are whole


def test_sequences_that_do_not_say_their_geometry_are_refused(path: Path) -> None:
    store = with_settings(path, {}, "")
    with pytest.raises(StoreError, match=r"expected a geometry in the settings of .*s\.h5, found none"):
        _ = store.geometry
    assert torch.equal(store.ids, store.ids.sort().values)
