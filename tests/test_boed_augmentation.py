"""A glimpse that is gathered elsewhere is the glimpse of an image that was moved or mirrored."""

import pytest
import torch

from boed.fitting.augmentation import Augmentation
from data.geometry import Geometry
from data.places import places_at, whole_image

ONE = Geometry(20, 24, 1, glimpse_size=4)
WIDE = Geometry(20, 24, 1, glimpse_size=4, sides=(4, 8, 24))


@pytest.mark.parametrize("geometry", [ONE, WIDE], ids=["one", "wide"])
def test_half_of_the_images_are_mirrored(geometry: Geometry) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (200, 20, 24, 1), generator=generator, dtype=torch.uint8)
    locations = geometry.grid().locations
    places = locations[torch.randint(len(locations), (200, 3), generator=generator)]
    augmentation = Augmentation(geometry, jitter=False, mirror=True)
    gathered, flipped = augmentation.gathered(places, generator)
    assert flipped is not None and 70 < int(flipped.sum()) < 130
    rows, retina = torch.arange(200), geometry.retina()
    found = augmentation.seen(retina(images, rows, gathered), flipped, places, generator)
    mirrored = torch.where(flipped[:, None, None, None], images.flip(2), images)
    torch.testing.assert_close(found, retina(mirrored, rows, places))


def test_without_a_mirror_nothing_is_drawn() -> None:
    """So that the draws of a data set that knows no left and right stay what they were."""
    generator = torch.Generator().manual_seed(0)
    places = places_at(torch.tensor([[[3, 5]]]), 4)
    gathered, flipped = Augmentation(ONE, jitter=False, mirror=False).gathered(places, generator)
    assert flipped is None and torch.equal(gathered, places)
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())
    glimpses = torch.rand(1, 1, 1, 4, 4)
    assert Augmentation(ONE, jitter=False, mirror=False).seen(glimpses, None, places, generator) is glimpses


def test_shifts_are_small_and_in_every_direction() -> None:
    places = places_at(torch.full((500, 1, 2), 8), 4)
    gathered, _ = Augmentation(ONE, jitter=True, mirror=False).gathered(places, torch.Generator())
    assert (gathered - places)[..., :2].unique().tolist() == [-1, 0, 1]


def test_only_glances_are_rolled_and_keep_their_values() -> None:
    geometry = Geometry(20, 24, 1, glimpse_size=4, first_glance=True)
    places = torch.stack([whole_image((20, 24)), torch.tensor([3, 5, 4])]).expand(30, 2, 3)
    glimpses = torch.rand(1, 2, 1, 4, 4).expand(30, -1, -1, -1, -1)
    augmentation = Augmentation(geometry, jitter=False, mirror=False, roll=True)
    generator, rolled = torch.Generator().manual_seed(0), set[bytes]()
    for _ in range(60):
        found = augmentation.seen(glimpses, None, places, generator)
        assert torch.equal(found[:, 1], glimpses[:, 1])
        assert torch.equal(found[0, 0].flatten().sort().values, glimpses[0, 0].flatten().sort().values)
        rolled.add(found[0, 0].numpy().tobytes())
    assert len(rolled) == 16  # every roll is as likely
