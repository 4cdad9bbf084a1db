"""Glimpses pasted on a coarse canvas: shares of cells, finer glimpses first, in any order."""

import pytest
import torch

from boed.estimators.seen_canvas import SeenCanvas
from data.geometry import Geometry
from data.places import whole_image

WIDE = Geometry(32, 48, 3, glimpse_size=8, sides=(8, 16, 32, 48))


def test_an_image_of_one_colour_shows_it_wherever_it_was_seen() -> None:
    canvas = SeenCanvas(WIDE, cells=16)
    places = torch.tensor([[0, 0, 8], [5, 7, 16], [0, 16, 32], whole_image((32, 48)).tolist()])
    colour = torch.tensor([0.2, 0.5, 0.9])
    added = canvas.pasted(colour[:, None, None].expand(4, 3, 8, 8), places)
    shown = canvas.shown(added)
    seen = shown[:, 3:].amax(1, keepdim=True) > 0
    expected = (colour - 0.5)[:, None, None] * seen
    torch.testing.assert_close(shown[:, :3], expected)
    together = canvas.shown(added.sum(0, keepdim=True))
    torch.testing.assert_close(together[0, :3], (colour - 0.5)[:, None, None].expand(3, 16, 16))


@pytest.mark.parametrize(("place", "octave", "share"), [((0, 0, 8), 0, 1 / 24), ((8, 8, 32), 2, 2 / 3)])
def test_what_is_covered_is_the_area_of_the_square(
    place: tuple[int, int, int], octave: int, share: float
) -> None:
    canvas = SeenCanvas(WIDE, cells=16)
    if place[0] + place[2] > 32:
        place = (0, *place[1:])
    coverage = canvas.pasted(torch.rand(1, 3, 8, 8), torch.tensor([place]))[0, 4:]
    assert coverage[octave].mean() == pytest.approx(share, rel=1e-5)
    assert coverage.sum() == pytest.approx(float(coverage[octave].sum()))


def test_a_glance_covers_everything_however_long_the_image() -> None:
    canvas = SeenCanvas(WIDE, cells=16)
    values = torch.rand(1, 3, 8, 8)
    added = canvas.pasted(values, whole_image((32, 48))[None])
    torch.testing.assert_close(added[0, -1], torch.ones(16, 16))
    shown = canvas.shown(added)[0, :3]
    torch.testing.assert_close(shown, (values[0] - 0.5).repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_a_finer_glimpse_counts_more() -> None:
    """By the squares of the sides: alone a pixel counts sixteen times what it does in a square of four."""
    canvas = SeenCanvas(WIDE, cells=4)
    ones = torch.ones(1, 3, 8, 8)
    added = canvas.pasted(ones, torch.tensor([[0, 0, 8]])) + canvas.pasted(
        0 * ones, torch.tensor([[0, 0, 32]])
    )
    cell = canvas.shown(added)[0, 0, 0, 0] + 0.5
    fine, coarse = 8 / 12, 1 / 16  # the cell has 8 rows and 12 columns; all of it was seen coarsely
    assert cell == pytest.approx(fine / (fine + coarse), rel=1e-5)


def test_all_scales_of_a_retina_are_pasted_around_one_centre() -> None:
    geometry = Geometry(32, 32, 1, glimpse_size=8, scales=2)
    canvas, plain = SeenCanvas(geometry, 8), SeenCanvas(Geometry(32, 32, 1, glimpse_size=8), 8)
    values = torch.rand(1, 2, 8, 8)
    added = canvas.pasted(values, torch.tensor([[8, 12, 8]]))
    each = plain.pasted(values[:, :1], torch.tensor([[8, 12, 8]]))
    each = each + plain.pasted(values[:, 1:], torch.tensor([[4, 8, 16]]))
    torch.testing.assert_close(added, each)
