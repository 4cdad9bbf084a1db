"""The glance: an area average of the whole image, computed once, beside glimpses that stay as they were."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from data import glance
from data.averaging import averaged_down
from data.geometry import Geometry
from data.glance import GlancingRetina, thumbnails
from data.grid import GLANCE, GLANCE_CENTRE, but_glances, is_glance, normalise, with_glance
from data.retina import Retina

NOWHERE = torch.tensor([GLANCE, GLANCE])


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
    places = torch.tensor([[[2, 5], [0, 0]], [[8, 8], [1, 7]]])
    mixed = with_glance(places)
    mixed[1, 2] = NOWHERE
    found = GlancingRetina(4, scales=2)(images, index, mixed)
    plain = Retina(4, scales=2)(images, index, places)
    assert torch.equal(found[:, 1], plain[:, 0]) and torch.equal(found[0, 2], plain[0, 1])
    expected = thumbnails(images, 4)[index].permute(0, 3, 1, 2) / 255
    for scale in (slice(0, 3), slice(3, 6)):
        assert torch.equal(found[:, 0, scale], expected) and torch.equal(found[1, 2, scale], expected[1])


def test_without_a_glance_it_is_the_retina() -> None:
    images, places = noise(), torch.tensor([[[2, 5], [-3, 0]]])
    index = torch.tensor([1])
    assert torch.equal(GlancingRetina(4)(images, index, places), Retina(4)(images, index, places))


def test_images_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images, calls = noise(), list[int]()

    def counted(some: Tensor, side: int) -> Tensor:
        calls.append(len(some))
        return averaged_down(some, side)

    monkeypatch.setattr(glance, "averaged_down", counted)
    sensor, everywhere = GlancingRetina(4), NOWHERE.expand(1, 1, 2)
    for row in (0, 3, 0):
        sensor(images, torch.tensor([row]), everywhere)
    assert calls == [5]
    sensor(images.clone(), torch.tensor([0]), everywhere)
    assert calls == [5, 5]


def test_its_centre_is_no_other_ones() -> None:
    locations = with_glance(torch.tensor([[0, 0], [4, 4]]))
    centres = normalise(locations, 4, (12, 12))
    assert (centres[0] == GLANCE_CENTRE).all() and (centres[1:].abs() <= 1).all()


def test_a_shift_never_makes_one_and_never_moves_one() -> None:
    locations = with_glance(torch.zeros(3, 1, 2, dtype=torch.int64))
    shifted = but_glances(locations - 1, locations)
    assert is_glance(shifted).tolist() == [[True, False]] * 3
    assert torch.equal(shifted[:, 1], torch.full((3, 2), -1))


def test_a_geometry_says_nothing_of_it_where_there_is_none() -> None:
    """So what was saved before is still the same, and opens."""
    plain = Geometry(12, 12, 3, glimpse_size=4)
    glancing = replace(plain, first_glance=True)
    assert "first_glance" not in plain.to_json()
    assert [Geometry(**geometry.to_json()) for geometry in (plain, glancing)] == [plain, glancing]
    assert type(plain.retina()) is Retina and isinstance(glancing.retina(), GlancingRetina)
    assert glancing.grid().first_glance and not plain.grid().first_glance
    assert torch.equal(glancing.grid().locations, plain.grid().locations)
