"""Pooled glimpses from box means are those that are gathered and pooled."""

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from boed.search.pooling import PooledSensor, box_sums
from boed.search.proposal import ridge_information
from data.dataset import Split
from data.geometry import Geometry
from data.places import places_at
from data.retina import Retina

IMAGES = torch.randint(0, 256, (5, 40, 28, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
LOCATIONS = torch.tensor([[0, 0], [3, 7], [24, 12], [-5, 20], [36, -3], [3, 7]])


@pytest.mark.parametrize(("size", "scales"), [(4, 1), (8, 1), (16, 1), (8, 3), (12, 2), (6, 1), (6, 2)])
def test_it_is_the_pooled_glimpse_everywhere(size: int, scales: int) -> None:
    """On the border and beyond it too, and for sides that 4 does not divide."""
    retina = Retina(size, scales)
    places = places_at(LOCATIONS, size)
    glimpses = retina(IMAGES, torch.arange(5), places.expand(5, -1, -1))  # (B, L, S*C, G, G)
    pooled = adaptive_avg_pool2d(glimpses.flatten(0, 1), 4).view(5, len(LOCATIONS), scales, 3, 16) - 0.5
    found = PooledSensor(retina, places)(IMAGES)
    assert found.shape == (len(LOCATIONS), 48 * scales + 1, 5)
    assert (found[:, -1] == 1).all()
    order = (1, 2, 3, 4, 0) if size % 4 else (1, 2, 4, 3, 0)  # the pixels of a scale in another order
    assert torch.allclose(found[:, :-1], pooled.permute(*order).flatten(1, 3), atol=1e-5)


@pytest.mark.parametrize("side", [1, 3, 11, 12])
def test_sums_are_exact_in_white_images(side: int) -> None:
    white = torch.full((2, 14, 13, 1), 255, dtype=torch.uint8)
    found = box_sums(white, side)
    assert found.shape == (15 - side, 14 - side, 1, 2)
    assert (found == 255 * side * side).all()


def test_several_targets_have_the_information_of_each() -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (200, 20, 20, 1), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 3, (200, 4), generator=generator)
    labels[:, 2] = images[:, 4:8, 4:8].float().mean((1, 2, 3)).argsort().argsort() * 3 // 200
    split, geometry = Split(images, labels[:, 0], torch.arange(200), ""), Geometry(20, 20, 1, 8, per_axis=4)
    args = (geometry.grid().locations, geometry.retina(), 3)
    together = ridge_information(split, *args, labels=labels)
    assert together.shape == (16, 4)
    for column in range(4):
        alone = ridge_information(split, *args, labels=labels[:, column])
        assert alone.shape == (16,)
        assert torch.allclose(together[:, column], alone, atol=1e-5)
    assert torch.equal(ridge_information(split, *args), ridge_information(split, *args, labels=labels[:, 0]))
    assert together.argmax() % 4 == 2  # the target that shows
