"""Affine crops: what is seen of a square at any place and of any side, interpolated at G x G points."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from data.errors import SettingsError
from data.geometry import Geometry, affine_crops

IMAGES = Geometry(20, 20, 1, glimpse_size=5)


def photographs(count: int = 2, side: int = 20) -> Tensor:
    return torch.randint(0, 256, (count, side, side, 3), generator=torch.Generator().manual_seed(0)).byte()


def test_a_crop_of_its_own_side_is_the_pixels_and_the_whole_image_is_itself() -> None:
    images, index = photographs(), torch.tensor([1, 0])
    crops = affine_crops(IMAGES, 4).retina()(images, index, torch.tensor([[[3, 7, 5]], [[15, 0, 5]]]))
    pixels = torch.stack([images[1, 3:8, 7:12], images[0, 15:, :5]]).permute(0, 3, 1, 2)
    torch.testing.assert_close(255 * crops[:, 0], pixels.float(), atol=2e-4, rtol=0)
    whole = affine_crops(IMAGES, 1).retina()(images, index, torch.tensor([[[0, 0, 20]]] * 2))
    torch.testing.assert_close(
        255 * whole[:, 0], images[index].permute(0, 3, 1, 2).float(), atol=2e-4, rtol=0
    )


def test_it_is_the_transformer_of_its_matrix() -> None:
    images, s, x, y = photographs(1), 0.3, 0.4, -0.6
    place = 20 * torch.tensor([[[(y + 1 - s) / 2, (x + 1 - s) / 2, s]]])
    seen = affine_crops(IMAGES, 2.5).retina()(images, torch.tensor([0]), place)[0]
    grid = affine_grid(torch.tensor([[[s, 0, x], [0, s, y]]]), [1, 3, 8, 8], align_corners=False)
    wanted = grid_sample(images.permute(0, 3, 1, 2) / 255, grid, align_corners=False)
    torch.testing.assert_close(seen, wanted)


def test_what_is_seen_of_an_image_does_not_depend_on_its_neighbours() -> None:
    retina, images = affine_crops(IMAGES, 4).retina(), photographs()
    places = torch.tensor([[[2.3, 3.1, 6.5]], [[0.0, 0.0, 20.0]]])
    both = retina(images, torch.tensor([0, 1]), places)
    assert torch.equal(both[:1], retina(images, torch.tensor([0]), places[:1]))


def test_the_geometry_is_that_of_the_magnification() -> None:
    crops = affine_crops(Geometry(60, 60, 1, glimpse_size=12, per_axis=9), 7)
    assert (crops.glimpse_size, crops.sides, crops.first_glance) == (8, (8, 60), True)
    assert affine_crops(Geometry(224, 224, 3, glimpse_size=16)).glimpse_size == 96
    assert Geometry(**crops.to_json()) == crops and "affine" not in IMAGES.to_json()


@pytest.mark.parametrize("magnification", [0.9, 10.5, float("nan")])
def test_a_magnification_that_leaves_no_glimpse_is_refused(magnification: float) -> None:
    with pytest.raises(SettingsError, match="expected a --magnification from 1 to 10 for images of 20"):
        affine_crops(IMAGES, magnification)


def test_images_that_are_no_squares_are_refused() -> None:
    with pytest.raises(SettingsError, match="expected square images for affine crops, found 20 x 30"):
        affine_crops(Geometry(20, 30, 1, glimpse_size=5))
