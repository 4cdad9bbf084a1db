"""Variations at the glimpse against varied whole images."""

from functools import partial

import pytest
import torch

from data.geometry import Geometry
from data.grid import LocationGrid
from data.places import mirrored, places_at
from hardattn.training.augment import Variation, mirrored_columns


@pytest.mark.parametrize("scales", [1, 2])
def test_a_mirrored_glimpse_is_the_glimpse_of_the_mirrored_image(scales: int) -> None:
    geometry = Geometry(12, 16, 3, glimpse_size=4, scales=scales, per_axis=5)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (6, 12, 16, 3), generator=generator, dtype=torch.uint8)
    varied = Variation.draw(6, geometry, mirror=True, tone=0.0, jitter=0, generator=generator)
    assert 0 < varied.flipped.sum() < 6
    index = torch.arange(6)
    locations = places_at(torch.randint(-3, 12, (6, 2, 2), generator=generator), 4)
    whole = torch.where(varied.flipped[:, None, None, None], images.flip(2), images)
    seen = varied.look(partial(geometry.retina(), images), geometry.grid())(index, locations)
    torch.testing.assert_close(seen, geometry.retina()(whole, index, locations))


def test_tone_and_mirror_can_be_left_out() -> None:
    geometry = Geometry(16, 16, 1, glimpse_size=4, per_axis=4)
    generator = torch.Generator().manual_seed(0)
    varied = Variation.draw(50, geometry, mirror=False, tone=0.0, jitter=0, generator=generator)
    glimpses = torch.rand(50, 1, 1, 4, 4)
    look = varied.look(lambda _index, _locations: glimpses, geometry.grid())
    assert torch.equal(look(torch.arange(50), torch.zeros(50, 1, 3)), glimpses)


def test_jitter_reaches_its_largest_shift_and_no_further() -> None:
    geometry = Geometry(16, 16, 1, glimpse_size=4, per_axis=4)
    taken = []

    def look(_index: torch.Tensor, locations: torch.Tensor) -> torch.Tensor:
        taken.append(locations)
        return torch.zeros(len(locations), 1, 1, 4, 4)

    generator = torch.Generator().manual_seed(0)
    varied = Variation.draw(200, geometry, mirror=False, tone=0.0, jitter=2, generator=generator)
    varied.look(look, geometry.grid())(torch.arange(200), places_at(torch.full((200, 1, 2), 5), 4))
    assert taken[0][..., :2].unique().tolist() == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(("size", "glimpse", "per_axis"), [(224, 16, 50), (60, 12, 13), (40, 8, 9)])
def test_mirrored_columns_are_nearest_and_exact_off_the_grid(size: int, glimpse: int, per_axis: int) -> None:
    grid = LocationGrid.evenly((size, size), glimpse, per_axis)
    assert torch.equal(mirrored(mirrored(grid.locations, grid), grid), grid.locations)
    columns, exact = mirrored_columns(grid), torch.arange(size - glimpse, -1, -1)
    on_grid = torch.isin(torch.arange(size - glimpse + 1), torch.tensor(grid.cols))
    pitch = (size - glimpse) / (per_axis - 1)
    assert set(columns[on_grid].tolist()) <= set(grid.cols)
    assert (columns - exact)[on_grid].abs().max() <= pitch / 2 + 1
    assert torch.equal(columns[~on_grid], exact[~on_grid])


def test_told_locations_mirror_with_their_images() -> None:
    geometry = Geometry(16, 16, 1, glimpse_size=4, per_axis=4)
    varied = Variation.draw(
        40, geometry, mirror=True, tone=0.0, jitter=0, generator=torch.Generator().manual_seed(0)
    )
    told = varied.locations(torch.tensor([[4, 8, 4], [3, 5, 4]]).expand(40, -1, -1), geometry.grid())
    assert told[varied.flipped].unique(dim=0).tolist() == [[[4, 4, 4], [3, 7, 4]]]
    assert told[~varied.flipped].unique(dim=0).tolist() == [[[4, 8, 4], [3, 5, 4]]]
