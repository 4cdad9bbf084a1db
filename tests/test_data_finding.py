"""The measure of finding: closed forms, and what random and central squares find."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.errors import DataError
from data.finding import HIDDEN, find, grid_of, holds, pixels_of
from data.geometry import Geometry
from data.places import places_at, whole_image

GEOMETRY = Geometry(20, 20, 1, glimpse_size=4, per_axis=5)  # squares beside one another
WIDE = Geometry(20, 20, 1, glimpse_size=4, per_axis=5, sides=(4, 10, 20))


def at(*places: list[int]) -> torch.Tensor:
    """(N, 1, 3) one square for each image."""
    return torch.tensor(places)[:, None]


@given(st.floats(0, 20), st.floats(0, 20))
def test_squares_that_tile_the_image_hold_every_part_once(row: float, col: float) -> None:
    squares = GEOMETRY.grid().locations[None]
    pixels = pixels_of(torch.tensor([[[row, col]]]), GEOMETRY)
    assert int(holds(squares, pixels).sum()) == 1
    [found] = find(squares[:, :1], torch.tensor([[[row, col]]]), GEOMETRY)
    assert found.random == pytest.approx(1 / 25)


def test_the_share_and_its_error_are_those_of_a_coin() -> None:
    places = at(*[[0, 0, 4]] * 3, *[[8, 8, 4]] * 9)
    [row] = find(places, torch.full((12, 1, 2), 10.0), GEOMETRY)
    assert (row.step, row.images, row.found, row.side) == (1, 12, 0.75, 4)
    assert row.error == pytest.approx(math.sqrt(0.75 * 0.25 / 12))
    assert row.central == 1


def test_looking_at_the_part_finds_it_and_at_random_as_often_as_is_expected() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = 20 * torch.rand(4000, 1, 2, generator=generator)
    grid = WIDE.grid().parts[1].locations  # squares of 10 pixels that overlap
    drawn = grid[torch.randint(len(grid), (4000,), generator=generator)]
    there = places_at((parts[:, 0].long() - 5).clamp(0, 10), 10)
    by_chance, looked = find(torch.stack([drawn, there], 1), parts, WIDE)
    assert abs(by_chance.found - by_chance.random) < 4 * by_chance.error
    assert looked.found == 1 and looked.random == by_chance.random < 0.5


def test_the_expectation_is_of_the_sides_that_were_looked_at() -> None:
    part = torch.tensor([[[10.0, 10.0]]]).expand(2, 1, 2)
    [row] = find(at([0, 0, 4], [8, 8, 10]), part, WIDE)
    wide = holds(WIDE.grid().parts[1].locations[None], torch.tensor([[[10, 10]]])).double().mean()
    assert row.found == 0.5 and row.side == 7 and 1 / 25 < wide < 1
    assert row.random == pytest.approx((1 / 25 + float(wide)) / 2)
    assert [len(grid_of(side, WIDE)) for side in WIDE.sides] == [len(part) for part in WIDE.grid().parts]


def test_a_glance_at_the_whole_image_finds_nothing_nor_do_its_rivals() -> None:
    oblong = Geometry(12, 30, 1, glimpse_size=4, per_axis=4)
    glance = whole_image((12, 30)).view(1, 1, 3).expand(2, 1, 3)
    [row] = find(glance, torch.tensor([[[0.0, 0.0]], [[6.0, 15.0]]]), oblong)
    assert (row.found, row.by_now, row.random, row.central, row.error, row.side) == (0, 0, 0, 0, 0, 0)
    [half] = find(at([0, 0, 20], [8, 8, 4]), torch.full((2, 1, 2), 10.0), GEOMETRY)
    assert (half.found, half.central, half.side) == (0.5, 0.5, 4)
    assert half.random == pytest.approx(1 / 25 / 2)


def test_what_was_found_once_is_found_by_now_unless_at_a_glance() -> None:
    away, there, glance = [0, 0, 4], [8, 8, 4], [0, 0, 20]
    places = torch.tensor([[glance, there, away], [glance, away, away], [glance, away, there], [there] * 3])
    rows = find(places, torch.full((4, 1, 2), 10.0), GEOMETRY)
    assert [row.found for row in rows] == [0.25, 0.5, 0.5]
    assert [row.by_now for row in rows] == [0.25, 0.5, 0.75]
    assert rows[2].by_now_error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))


def test_hidden_parts_count_for_nothing() -> None:
    nowhere = [math.nan, math.nan]
    parts = torch.tensor([[[1.0, 1.0], nowhere], [nowhere, nowhere], [nowhere, [19.0, 19.0]]])
    [row] = find(at([0, 0, 4], [0, 0, 4], [0, 0, 4]), parts, GEOMETRY)
    assert (row.images, row.found) == (2, 0.5)
    assert not holds(at([-8, -8, 4]), torch.full((1, 1, 2), HIDDEN)).any()
    with pytest.raises(DataError, match="images that show the part, found none of 3"):
        find(at(*[[0, 0, 4]] * 3), torch.full((3, 2, 2), math.nan), GEOMETRY)


def test_of_several_parts_any_one_will_do() -> None:
    parts = torch.tensor([[[1.0, 1.0], [2.0, 2.0], [9.0, 1.0]]])
    [row] = find(at([8, 0, 4]), parts, GEOMETRY)
    assert row.found == 1 and row.random == pytest.approx(2 / 25)  # two of them lie in one square
