"""Mixed precision is the network's: the sensor sees the same, to the bit, within it and without."""

import numpy as np
import pytest
import torch
from torch import Tensor

from data.averaging import averages
from data.glance import thumbnails
from data.places import places_at
from data.retina import Retina

INDEX = torch.tensor([3, 0, 4])


def noise(side: int = 24) -> Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (5, side, side, 3), dtype=np.uint8))


def corners(side: int, steps: int = 4) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(-3, side, (len(INDEX), steps, 2)))


def whole(side: int) -> Tensor:
    return torch.tensor([0, 0, side]).expand(len(INDEX), 1, 3)


PLACES = {
    "two scales": places_at(corners(24), 4),
    "wide squares": torch.cat([corners(24), torch.tensor([4, 8, 12, 7]).expand(3, 4)[..., None]], 2),
    "the whole image": whole(24),
    "between the pixels": torch.cat([corners(24) + 0.3, torch.full((3, 4, 1), 6.5)], 2),
}


@pytest.mark.parametrize("name", PLACES)
def test_glimpses_are_the_same_under_autocast(name: str) -> None:
    sensor, places = Retina(4, scales=2), PLACES[name]
    expected = sensor(noise(), INDEX, places)
    with torch.autocast("cpu", torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        found = sensor(noise(), INDEX, places)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_averages_are_the_same_under_autocast() -> None:
    images = noise()
    expected = averages(images, 5)
    with torch.autocast("cpu", torch.bfloat16):
        found = averages(images, 5)
    assert torch.equal(found, expected)


def test_what_is_kept_of_a_first_look_under_autocast_is_exact() -> None:
    """The thumbnails of training images are made within a step of training, and serve whoever comes later."""
    images, same = noise(), noise()
    with torch.autocast("cpu", torch.bfloat16):
        Retina(4)(images, INDEX, whole(24))
    assert torch.equal(thumbnails(images, 4), thumbnails(same, 4))
