"""The share of an object's box in a glimpse: closed forms, and what random and central squares hold."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.coverage import coverage, covered
from data.geometry import Geometry
from data.places import whole_image

GEOMETRY = Geometry(20, 20, 1, glimpse_size=4)
BOX = torch.tensor([[4, 8, 12, 16]])


@pytest.mark.parametrize(
    ("place", "share"),
    [([4, 8, 8], 1), ([0, 0, 20], 1), ([12, 8, 8], 0), ([4, 0, 8], 0), ([4, 8, 4], 0.25), ([0, 4, 8], 0.25)],
)
def test_shares_are_those_of_areas(place: list[int], share: float) -> None:
    (row,) = coverage(torch.tensor([[place]]), BOX, GEOMETRY)
    assert row.share == share and row.error == 0 and row.side == place[2]


def test_the_whole_image_holds_every_box_wherever_it_is_and_so_do_its_rivals() -> None:
    oblong = Geometry(20, 12, 1, glimpse_size=4)
    boxes = torch.tensor(
        [[0, 0, 20, 12], [3, 5, 4, 6], [18, 2, 25, 9]]
    )  # of the last, what lies in the image
    (row,) = coverage(whole_image((20, 12)).expand(3, 1, 3), boxes, oblong)
    assert (row.images, row.share, row.random, row.central) == (3, 1, 1, 1)


@given(st.integers(1, 20), st.data())
def test_random_squares_hold_the_mean_over_all_that_there_are(side: int, data: st.DataObject) -> None:
    row, col = (data.draw(st.integers(0, 18)) for _ in "ab")
    box = torch.tensor([[row, col, data.draw(st.integers(row + 1, 20)), data.draw(st.integers(col + 1, 20))]])
    corners = torch.cartesian_prod(*[torch.arange(21 - side)] * 2).view(-1, 2)
    every = torch.cat([corners, torch.full_like(corners[:, :1], side)], -1)[None]
    (found,) = coverage(every[:, :1], box, GEOMETRY)
    assert found.random == pytest.approx(covered(every, box).mean().item())


def test_a_central_square_is_in_the_middle() -> None:
    (row,) = coverage(torch.tensor([[[0, 0, 4]]]), torch.tensor([[8, 8, 12, 12]]), GEOMETRY)
    assert (row.share, row.central) == (0, 1)


def test_images_without_an_object_are_left_out() -> None:
    places, nothing = torch.tensor([[[4, 8, 8]]] * 2), torch.tensor([[3, 3, 3, 9]])
    (row,) = coverage(places, torch.cat([BOX, nothing]), GEOMETRY)
    assert (row.images, row.share) == (1, 1)
    assert coverage(places[:1], nothing, GEOMETRY) == []
