"""Sequences from annotated boxes: on the grid, on the object, and imitated like any others."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hardattn_tiny import tiny_dataset

from data.digits import load_digits
from data.errors import SettingsError, StoreError
from data.geometry import Geometry
from hardattn.objectives.rewards import reachable
from supervision.batches import supervised_split
from supervision.parts import PATTERN, nearest_on_grid, part_sequences, write_parts
from supervision.store import SequenceStore


def test_parts_lie_on_the_object_and_the_first_glimpse_in_the_middle() -> None:
    digits = load_digits()
    boxes = digits["design"].boxes
    assert boxes is not None
    found = part_sequences(boxes, digits.geometry, 5)
    assert found.shape == (len(boxes), 5, 3)
    digits.geometry.grid().index(found)  # on the grid
    assert (found[:, 0] == found[0, 0]).all() and found[0, 0].tolist() == [16, 16, 8]
    low, high = reachable(boxes, digits.geometry)[:, None, :4].split(2, -1)
    corners = found[:, 1:, :2]
    assert ((corners >= low) & (corners <= high)).all()
    centres = corners + 4.0
    wanted = boxes[:, None, :2] + 16 * torch.tensor(PATTERN[:4])
    assert (centres - wanted).abs().max() <= 4 + 2  # half a pitch, and the border


def test_nearest_on_the_grid() -> None:
    geometry = Geometry(20, 30, 1, glimpse_size=4, per_axis=4)
    grid = geometry.grid()
    corners = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([20.0, 30.0]) - 2
    distance = (corners[:, None] - grid.locations[:, :2]).square().sum(2)
    chosen = grid.index(nearest_on_grid(corners + geometry.glimpse_size / 2, geometry))
    assert torch.allclose(distance.gather(1, chosen[:, None])[:, 0], distance.amin(1))


def test_a_store_of_parts_is_made_once_and_can_be_imitated(tmp_path: Path) -> None:
    digits = load_digits()
    for _ in range(2):
        write_parts(tmp_path / "parts.h5", digits, "design", glimpses=3)
    store = SequenceStore.read(tmp_path / "parts.h5")
    split, locations = supervised_split(store, digits["design"], 3)
    assert len(split) == len(digits["design"]) and store.done.all()
    boxes = digits["design"].boxes
    assert boxes is not None and torch.equal(locations, part_sequences(boxes, digits.geometry, 3))
    with pytest.raises(StoreError, match="fingerprint"):
        write_parts(tmp_path / "parts.h5", digits, "train", glimpses=3)


def test_without_boxes_there_are_no_parts(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="knows where its objects are, found tiny"):
        write_parts(tmp_path / "parts.h5", tiny_dataset(), "design", glimpses=3)
    assert not list(tmp_path.iterdir())


def test_wide_squares_hold_the_parts_after_a_glance() -> None:
    digits = load_digits()
    boxes = digits["design"].boxes
    assert boxes is not None
    geometry = replace(digits.geometry, first_glance=True, sides=(8, 16))
    found = part_sequences(boxes, geometry, 3, side=16)
    assert found[:, 0].tolist() == [[0, 0, 40]] * len(boxes) and set(found[:, 1:, 2].flatten().tolist()) == {
        16
    }
    geometry.grid().index(found[:, 1:])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert ((centres >= found[:, 1, :2]) & (centres <= found[:, 1, :2] + 16)).all()
    with pytest.raises(SettingsError, match="expected a --side of 8, 16 pixels, found 12"):
        part_sequences(boxes, geometry, 3, side=12)
