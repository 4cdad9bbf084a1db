"""What glimpses read, against masks of pixels."""

from typing import Any

import pytest
import torch
from torch import Tensor

from data.geometry import Geometry
from data.places import places_at
from data.readout import READ, pixels_averaged, read_by_image


def mask(place: list[int], geometry: Geometry) -> Tensor:
    """(H, W) which pixels lie in the widest square of a glimpse."""
    row, col, side = place
    width = side * 2 ** (geometry.scales - 1)
    first = (row - (width - side) // 2, col - (width - side) // 2)
    seen = torch.zeros(geometry.image_size, dtype=torch.bool)
    seen[max(0, first[0]) : max(0, first[0] + width), max(0, first[1]) : max(0, first[1] + width)] = True
    return seen


@pytest.mark.parametrize("options", [{}, {"scales": 3}, {"sides": (4, 8, 16)}])
def test_software_reads_the_pixels_of_every_square(options: dict[str, Any]) -> None:
    geometry = Geometry(16, 12, 1, glimpse_size=4, per_axis=5, **options)
    places = geometry.grid().locations
    shifted = places + torch.tensor([-3, 2, 0])
    for each in (*places, *shifted):
        assert pixels_averaged(each, geometry) == mask(each.tolist(), geometry).sum()


def test_of_plain_glimpses_the_two_counts_are_one() -> None:
    geometry = Geometry(16, 16, 1, glimpse_size=4, per_axis=5)
    places = places_at(torch.tensor([[[0, 0], [3, 3], [0, 0]]]), 4)
    counts = read_by_image(places, geometry)
    assert tuple(counts) == READ
    assert counts["values_read"].tolist() == counts["pixels_read"].tolist() == [[16, 32, 48]]
    assert counts["pixels"].tolist() == [[16, 31, 31]] and counts["additions"].tolist() == [[0, 0, 0]]


def test_a_sensor_that_bins_reads_as_much_however_wide() -> None:
    geometry = Geometry(16, 16, 1, glimpse_size=4, sides=(4, 8, 16))
    places = geometry.grid().locations[[0, -2, -1]][None]
    counts = read_by_image(places, geometry)
    assert counts["values_read"].tolist() == [[16, 32, 48]]
    assert counts["pixels_read"].tolist() == [[16, 16 + 64, 16 + 64 + 256]]
    assert counts["pixels"].tolist() == [[16, 16 + 64, 256]]
    assert counts["additions"].tolist() == [[0, 64, 64 + 256]]


def test_of_a_retina_all_wider_scales_are_averaged() -> None:
    geometry = Geometry(16, 16, 1, glimpse_size=4, per_axis=5, scales=3)
    counts = read_by_image(places_at(torch.tensor([[[6, 6]]]), 4), geometry)
    assert counts["additions"].tolist() == [[8 * 8 + 16 * 16]]


def test_a_first_glance_is_read_whole_where_software_averages() -> None:
    geometry = Geometry(16, 12, 1, glimpse_size=4, first_glance=True)
    counts = read_by_image(torch.tensor([[[0, 0, 16], [2, 2, 4]]]), geometry)
    assert counts["values_read"].tolist() == [[16, 32]] and counts["pixels_read"].tolist() == [[192, 208]]
    assert counts["additions"].tolist() == [[192, 192]]
    assert counts["pixels"].tolist() == [[16, 32]]
