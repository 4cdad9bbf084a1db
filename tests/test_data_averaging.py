"""Images averaged down: means over equal rectangles, whatever the sides."""

import pytest
import torch
from torch.nn.functional import interpolate

from data.averaging import area_weights, averaged_down


@pytest.mark.parametrize("resolution", [1, 2, 4, 8, 16])
def test_a_divisor_of_the_side_gives_means_of_blocks(resolution: int) -> None:
    images = torch.randint(0, 256, (20, 16, 16, 3), dtype=torch.uint8)
    wanted = interpolate(images.permute(0, 3, 1, 2).double(), size=(resolution, resolution), mode="area")
    found = averaged_down(images, resolution).permute(0, 3, 1, 2)
    assert (found.double() - wanted).abs().max() <= 0.5 + 1e-4  # rounded


@pytest.mark.parametrize(("size", "resolution"), [(224, 48), (40, 16), (7, 5)])
def test_every_pixel_has_the_same_weight(size: int, resolution: int) -> None:
    weights = area_weights(size, resolution)
    torch.testing.assert_close(weights.sum(0), torch.full((size,), resolution / size))
    torch.testing.assert_close(weights.sum(1), torch.ones(resolution))


def test_images_need_not_be_square_and_chunks_do_not_show() -> None:
    images = torch.randint(0, 256, (300, 12, 9, 3), dtype=torch.uint8)
    found = averaged_down(images, 3)
    assert found.shape == (300, 3, 3, 3)
    assert torch.equal(found[200:201], averaged_down(images[200:201], 3))
    mean = images[7, :4, 3:6].float().mean((0, 1)).round().to(torch.uint8)
    assert torch.equal(found[7, 0, 1], mean)
