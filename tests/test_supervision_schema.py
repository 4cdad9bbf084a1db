"""Stores of schema 1: read, taken up, with the times that lie beside them."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from store_tiny import CANDIDATES, IDS, fill, open_store, sequences_of

from supervision.store import TIMES, SequenceStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "sequences.h5"


def as_schema_1(path: Path) -> None:
    """Makes a store what version 0.1 wrote: places without a side, maps of half precision."""
    with h5py.File(path, "r+") as file:
        for name, old in (("places", "locations"), ("candidates", "candidates")):
            corners = file[name][()][..., :2].astype(np.int16)
            del file[name]
            file[old] = corners
        maps = file["epe_map"][()].astype(np.float16)
        del file["epe_map"]
        file["epe_map"] = maps
        file.attrs["schema"] = 1
        for name in TIMES:
            del file.attrs[name]


def test_times_beside_a_store_of_schema_1_are_read_and_stay_with_it(path: Path) -> None:
    sizes = {"geometry": {"height": 12, "width": 12, "channels": 1, "glimpse_size": 4}}
    fill(open_store(path, settings=sizes), torch.tensor([1, 3]))
    as_schema_1(path)
    path.with_name(f"{path.name}.seconds.json").write_text('{"seconds": 3.0, "sequences": 2}')
    path.with_name(f"{path.name}.made.json").write_text('{"seconds": 40.5}')
    store = SequenceStore.read(path)
    assert store.seconds_per_sequence == 1.5 and store.made_in == 40.5
    taken_up = open_store(path, settings=sizes)
    assert (taken_up.schema, taken_up.seconds_per_sequence, taken_up.made_in) == (2, 1.5, 40.5)
    taken_up.add_seconds(5.0, 2)
    for beside in path.parent.glob("*.json"):
        beside.unlink()
    again = SequenceStore.read(path)
    assert (again.seconds, again.sequences_timed, again.made_in) == (8.0, 4, 40.5)


def test_own_times_count_before_those_beside(path: Path) -> None:
    open_store(path).add_seconds(1.0, 1)
    path.with_name(f"{path.name}.seconds.json").write_text('{"seconds": 3.0, "sequences": 2}')
    assert SequenceStore.read(path).seconds_per_sequence == 1.0


@pytest.mark.parametrize("text", ["{", "[]", '{"seconds": 3.0}', '{"seconds": null, "sequences": 2}'])
def test_a_time_beside_that_cannot_be_read_is_no_time(path: Path, text: str) -> None:
    sizes = {"geometry": {"height": 12, "width": 12, "channels": 1, "glimpse_size": 4}}
    open_store(path, settings=sizes)
    as_schema_1(path)
    path.with_name(f"{path.name}.seconds.json").write_text(text)
    assert SequenceStore.read(path).seconds_per_sequence is None


def test_stores_of_schema_1_are_read_and_go_on(path: Path) -> None:
    sizes = {"geometry": {"height": 12, "width": 12, "channels": 1, "glimpse_size": 4}}
    fill(open_store(path, settings=sizes), torch.tensor([1, 3]))
    as_schema_1(path)
    store, expected = SequenceStore.read(path), sequences_of(IDS[[1, 3]])
    assert store.schema == 1 and torch.equal(store.candidates, CANDIDATES)
    found = store.load()
    assert torch.equal(found.locations, expected.locations)
    assert found.epe_map.dtype == torch.float32
    assert torch.equal(found.epe_map, expected.epe_map.half().float())
    taken_up = open_store(path, settings=sizes)
    fill(taken_up, taken_up.pending())
    whole = SequenceStore.read(path)
    assert whole.schema == 2 and whole.done.all()
    assert torch.equal(whole.load().locations, sequences_of(IDS).locations)


def test_a_first_glance_of_schema_1_is_the_whole_image(path: Path) -> None:
    store = open_store(
        path, settings={"geometry": {"height": 12, "width": 9, "channels": 1, "glimpse_size": 4}}
    )
    fill(store, torch.tensor([0]))
    as_schema_1(path)
    with h5py.File(path, "r+") as file:
        file["locations"][0, 0] = -(2**15)
    assert SequenceStore.read(path).load().locations[0, 0].tolist() == [0, 0, 12]
