"""Squares of several sides: which there are, what numbers they have, and where they are said to be."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import SettingsError
from data.geometry import Geometry
from data.grid import LocationGrid, WidthGrid
from data.places import is_whole, mirrored, moved, normalise

FACES = Geometry(224, 224, 3, glimpse_size=16, per_axis=50, last_excluded=True)
WIDE = replace(FACES, sides=(16, 32, 64, 112, 224))


def test_one_side_is_as_ever() -> None:
    for sides in ((), (16,), [16]):
        same = replace(FACES, sides=sides)
        assert same == FACES and "sides" not in same.to_json() and same.coordinates == 2
        assert isinstance(same.grid(), LocationGrid)


def test_sides_survive_json_as_a_list() -> None:
    assert WIDE.to_json()["sides"] == [16, 32, 64, 112, 224]
    assert Geometry(**WIDE.to_json()) == WIDE
    assert hash(Geometry(**WIDE.to_json())) == hash(WIDE)


def test_all_are_powers_of_two_of_the_glimpse_and_the_image() -> None:
    asked: Any = "all"
    assert replace(FACES, sides=asked).sides == (16, 32, 64, 128, 224)
    assert Geometry(60, 40, 1, glimpse_size=12, sides=asked).sides == (12, 24, 60)
    assert Geometry(12, 12, 1, glimpse_size=12, sides=asked).sides == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sides": (8, 16)}, "sides from the glimpse's 16 up to 224, found .8, 16."),
        ({"sides": (16, 64, 32)}, "expected increasing sides .*found .16, 64, 32."),
        ({"sides": (16, 16)}, "expected increasing sides"),
        ({"sides": (16, 240)}, "up to 224, found .16, 240."),
        ({"height": 200, "sides": (16, 210)}, "up to 200, or 224 for the whole image, found .16, 210."),
        ({"sides": (16, 32.0)}, "sides as whole numbers, or all, found .16, 32.0."),
        ({"sides": 32}, "sides as whole numbers, or all, found 32"),
        ({"sides": (16, 32), "scales": 3}, "1 scale with several sides, found 3"),
    ],
)
def test_impossible_sides_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        replace(FACES, **changes)


def test_wider_squares_lie_a_quarter_of_their_side_apart_and_the_whole_image_once() -> None:
    grid = WIDE.grid()
    assert isinstance(grid, WidthGrid)
    assert grid.parts[0] == replace(FACES.grid(), first_glance=False)
    rows = {part.glimpse_size: part.rows for part in grid.parts[1:]}
    assert rows == {
        32: tuple(range(0, 193, 8)),
        64: tuple(range(0, 161, 16)),
        112: (0, 28, 56, 84, 112),
        224: (0,),
    }
    few = replace(WIDE, per_axis=3).grid()
    assert [len(part) for part in few.parts] == [9, 9, 9, 9, 1]


@given(st.tuples(st.integers(8, 60), st.integers(8, 60)), st.integers(2, 8), st.integers(1, 9), st.booleans())
@settings(max_examples=50, deadline=None)
def test_index_inverts_locations_which_lie_inside(
    image_size: tuple[int, int], glimpse_size: int, per_axis: int, first_glance: bool
) -> None:
    asked: Any = "all"
    geometry = Geometry(
        *image_size, 1, glimpse_size, per_axis=per_axis, sides=asked, first_glance=first_glance
    )
    grid = geometry.grid()
    assert torch.equal(grid.index(grid.locations), torch.arange(len(grid)))
    inside = (grid.locations[:, :2] + grid.locations[:, 2:] <= torch.tensor(image_size)).all(1)
    assert bool((inside | is_whole(grid.locations, geometry)).all())
    assert bool(is_whole(grid.locations, geometry).any()) is not first_glance or not geometry.sides
    centres = grid.normalised()
    assert centres.shape == (len(grid), geometry.coordinates) and bool((centres.abs() <= 1).all())
    assert len(centres.unique(dim=0)) == len(grid)


@pytest.mark.parametrize("stray", [[1, 0, 16], [8, 4, 32], [0, 0, 48], [16, 0, 224]])
def test_a_place_off_every_grid_is_refused(stray: list[int]) -> None:
    found, on_grid = WIDE.grid().find(torch.tensor([[0, 0, 32], stray]))
    assert found[0] == 2500 and on_grid.tolist() == [True, False]
    with pytest.raises(SettingsError, match=f"side 32 on the 25 x 25 grid.*found .{stray[0]},"):
        WIDE.grid().index(torch.tensor([[0, 0, 32], stray]))


def test_a_centre_says_how_wide_the_square_is() -> None:
    places = torch.tensor([[104, 104, 16], [96, 96, 32], [0, 0, 224], [0, 112, 112]])
    centres = normalise(places, WIDE)
    assert torch.equal(centres[:3, :2], torch.zeros(3, 2))
    assert torch.equal(centres[3, :2], torch.tensor([-0.5, 0.5]))
    expected = torch.tensor([1, 2, 14, 7]).log() / torch.tensor(14).log()
    torch.testing.assert_close(centres[:, 2], expected)
    oblong = Geometry(60, 40, 1, glimpse_size=4, sides=(4, 60))
    assert normalise(torch.tensor([0, 0, 60]), oblong).tolist() == [0, 0, 1]


def test_what_a_first_glance_has_shown_is_not_looked_at_again() -> None:
    glancing = replace(WIDE, first_glance=True)
    assert not bool(is_whole(glancing.grid().locations, glancing).any())
    assert len(glancing.grid()) == len(WIDE.grid()) - 1 and glancing.grid().first_glance
    assert glancing.centres(torch.tensor([[0, 0, 224]])).tolist() == [[0, 0, 1]]


def test_the_whole_image_neither_moves_nor_is_mirrored() -> None:
    places = torch.tensor([[0, 0, 224], [0, 28, 112]])
    assert moved(places, torch.tensor([3, -4]), WIDE).tolist() == [[0, 0, 224], [3, 24, 112]]
    assert mirrored(places, WIDE).tolist() == [[0, 0, 224], [0, 84, 112]]
