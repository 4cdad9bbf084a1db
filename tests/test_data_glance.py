"""The glance: an area average of the whole image, computed once, beside glimpses that stay as they were."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from data import glance
from data.averaging import averaged_down
from data.geometry import Geometry
from data.glance import thumbnails
from data.places import WHOLE_CENTRE, after_glance, is_whole, mirrored, moved, normalise, places_at
from data.retina import Retina

SIZES = Geometry(12, 12, 3, glimpse_size=4)
WHOLE = torch.tensor([0, 0, 12])


def noise(count: int = 5, height: int = 12, width: int = 12, channels: int = 3) -> Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (count, height, width, channels), dtype=np.uint8))


def test_where_it_divides_the_cells_are_means_of_blocks() -> None:
    images = noise()
    blocks = images.view(5, 4, 3, 4, 3, 3).double().mean((2, 4))
    assert (thumbnails(images, 4).double() - blocks).abs().max() <= 0.5


@pytest.mark.parametrize(("height", "width"), [(13, 10), (7, 7)])
def test_where_it_does_not_the_image_is_still_covered(height: int, width: int) -> None:
    plain = torch.full((2, height, width, 1), 77, dtype=torch.uint8)
    assert (thumbnails(plain, 4) == 77).all()
    spot = torch.zeros(1, height, width, 1, dtype=torch.uint8)
    spot[0, -1, -1] = 255
    assert thumbnails(spot, 4)[0, -1, -1] > 0


@pytest.mark.parametrize("side", [4, 5])
def test_of_a_mirrored_image_it_is_mirrored(side: int) -> None:
    images = noise()
    one, other = thumbnails(images.flip(2).contiguous(), side).int(), thumbnails(images, side).flip(2).int()
    assert (one - other).abs().max() <= 1  # halves are rounded by the last bit of a sum


def test_glances_and_glimpses_side_by_side() -> None:
    images, index = noise(), torch.tensor([3, 0])
    places = places_at(torch.tensor([[[2, 5], [0, 0]], [[8, 8], [1, 7]]]), 4)
    mixed = after_glance(places, SIZES.image_size)
    mixed[1, 2] = WHOLE
    shown = Retina(4, scales=2)(images, index, mixed)
    plain = Retina(4, scales=2)(images, index, places)
    assert torch.equal(shown[:, 1], plain[:, 0]) and torch.equal(shown[0, 2], plain[0, 1])
    expected = thumbnails(images, 4)[index].permute(0, 3, 1, 2) / 255
    for scale in (slice(0, 3), slice(3, 6)):
        assert torch.equal(shown[:, 0, scale], expected) and torch.equal(shown[1, 2, scale], expected[1])


@pytest.mark.parametrize("side", [5, 8, 11])
def test_a_wide_square_is_the_glance_at_what_it_frames(side: int) -> None:
    images, index = noise(), torch.tensor([3, 0])
    shown = Retina(4)(images, index, torch.tensor([[[1, 0, side]], [[0, 1, side]]]))[:, 0]
    framed = torch.stack([images[3, 1 : 1 + side, :side], images[0, :side, 1 : 1 + side]])
    expected = thumbnails(framed, 4).permute(0, 3, 1, 2) / 255
    assert (shown - expected).abs().max() <= 0.5 / 255 + 1e-6  # which is rounded to grey levels


def test_squares_of_many_sides_do_not_mix() -> None:
    images, places = noise(), torch.tensor([[2, 5, 4], [0, 3, 8], [0, 0, 12], [1, 1, 5], [6, -2, 8]])
    together = Retina(4, scales=2)(images, torch.tensor([1]), places[None])[0]
    for place, shown in zip(places, together, strict=True):
        alone = Retina(4, scales=2)(images, torch.tensor([1]), place.view(1, 1, 3))[0, 0]
        assert torch.equal(alone, shown)


def test_a_wide_square_beyond_the_border_reads_zeros_there() -> None:
    images = torch.full((1, 12, 12, 1), 200, dtype=torch.uint8)
    shown = Retina(4)(images, torch.tensor([0]), torch.tensor([[[8, 0, 8]]]))[0, 0, 0]
    assert torch.equal(shown, torch.tensor([[200.0] * 4] * 2 + [[0.0] * 4] * 2) / 255)


def test_images_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images, calls = noise(), list[int]()

    def counted(some: Tensor, side: int) -> Tensor:
        calls.append(len(some))
        return averaged_down(some, side)

    monkeypatch.setattr(glance, "averaged_down", counted)
    for row in (0, 3, 0):
        Retina(4)(images, torch.tensor([row]), WHOLE.expand(1, 1, 3))
    assert calls == [5]
    Retina(4)(images.clone(), torch.tensor([0]), WHOLE.expand(1, 1, 3))
    assert calls == [5, 5]


def test_its_centre_is_no_other_ones() -> None:
    places = after_glance(torch.tensor([[0, 0, 4], [4, 4, 4], [0, 0, 11]]), SIZES.image_size)
    centres = normalise(places, SIZES)
    assert (centres[0] == WHOLE_CENTRE).all() and (centres[1:].abs() <= 1).all()


def test_a_shift_never_makes_one_and_never_moves_one() -> None:
    places = after_glance(places_at(torch.zeros(3, 1, 2, dtype=torch.int64), 4), SIZES.image_size)
    shifted = moved(places, torch.tensor([-1, -1]), SIZES)
    assert is_whole(shifted, SIZES).tolist() == [[True, False]] * 3
    assert shifted[:, 1].tolist() == [[-1, -1, 4]] * 3


def test_a_glimpse_that_is_the_image_is_a_glimpse_like_any_other() -> None:
    everything = Geometry(12, 12, 3, glimpse_size=12)
    assert moved(WHOLE, torch.tensor([1, -2]), everything).tolist() == [1, -2, 12]
    assert normalise(WHOLE, everything).tolist() == [0.0, 0.0]


def test_to_mirror_twice_changes_nothing() -> None:
    places = torch.tensor([[2, 5, 4], [0, 0, 8], [0, 0, 12], [-1, 9, 6]])
    assert torch.equal(mirrored(mirrored(places, SIZES), SIZES), places)
    assert mirrored(places, SIZES)[:3].tolist() == [[2, 3, 4], [0, 4, 8], [0, 0, 12]]


def test_a_geometry_says_nothing_of_it_where_there_is_none() -> None:
    """So what was saved before is still the same, and opens."""
    plain = Geometry(12, 12, 3, glimpse_size=4)
    glancing = replace(plain, first_glance=True)
    assert "first_glance" not in plain.to_json()
    assert [Geometry(**geometry.to_json()) for geometry in (plain, glancing)] == [plain, glancing]
    assert glancing.grid().first_glance and not plain.grid().first_glance
    assert torch.equal(glancing.grid().locations, plain.grid().locations)
