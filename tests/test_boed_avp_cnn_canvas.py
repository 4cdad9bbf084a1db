"""What the AVP-CNN pastes: pixels and coverage on a canvas, against the image under a mask."""

import pytest
import torch
from avp_cnn_tiny import COLOUR, INSIDE, OUTSIDE, look, posterior, seen
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from boed.posteriors.avp_cnn import overlap
from data.geometry import Geometry

WIDE = Geometry(20, 36, 1, glimpse_size=6)


def shrink(images: Tensor, side: int) -> Tensor:
    """Average over area: every pixel is made side x side, then H x W of these are averaged."""
    height, width = images.shape[-2:]
    large = images.repeat_interleave(side, -2).repeat_interleave(side, -1)
    return avg_pool2d(large, (height, width))


@pytest.mark.parametrize("locations", [INSIDE, OUTSIDE, [[5, 5], [7, 3], [5, 5]]])
def test_at_the_size_of_the_image_what_is_seen_is_the_image_under_a_mask(locations: list[list[int]]) -> None:
    """Also over the border and where glimpses overlap."""
    q, (images, y, centres) = posterior(), look(COLOUR, locations)
    pixels, mask = q.masked_image(q.embed(y, centres).sum(1))
    expected = seen(COLOUR, locations)
    assert torch.equal(mask[:, 0], expected.expand(2, -1, -1, -1))
    assert torch.allclose(pixels[:, 0], images * expected, atol=1e-6)
    single, _ = q.masked_image(q.embed(y[:, 0], centres[:, 0]))
    assert torch.equal(single[:, 0], images * seen(COLOUR, locations[:1]))  # to the bit


@pytest.mark.parametrize(
    ("geometry", "side"), [(COLOUR, 12), (COLOUR, 16), (COLOUR, 40), (WIDE, 10), (WIDE, 20), (WIDE, 36)]
)
@pytest.mark.parametrize("location", [*INSIDE, *OUTSIDE])
def test_any_resolution_is_an_average_over_area(geometry: Geometry, side: int, location: list[int]) -> None:
    q, (images, y, centres) = posterior(geometry, side), look(geometry, [location])
    total = q.embed(y[:, 0], centres[:, 0])
    mask = seen(geometry, [location])
    covered = shrink(mask, side)
    assert torch.allclose(q.masked_image(total)[1][:, 0], covered.expand(2, -1, -1, -1), atol=1e-6)
    pasted = total.view(2, geometry.channels + 1, side, side)[:, :-1]
    assert torch.allclose(pasted, shrink(images * mask, side), atol=1e-5)
    values = q.masked_image(total)[0][:, 0]
    assert torch.allclose(values * covered, pasted, atol=1e-6)
    assert (values[:, :, covered[0] == 0] == 0).all()


def test_half_resolution_of_aligned_glimpses_is_the_pooled_masked_image() -> None:
    q, (images, y, centres) = posterior(resolution=12), look(COLOUR, [[2, 4], [4, 8], [16, 0]])
    pixels, mask = q.masked_image(q.embed(y, centres).sum(1))
    expected = seen(COLOUR, [[2, 4], [4, 8], [16, 0]])
    assert torch.equal(mask[:, 0], avg_pool2d(expected, 2).expand(2, -1, -1, -1))
    assert torch.allclose(pixels[:, 0], avg_pool2d(images * expected, 2), atol=1e-6)


@pytest.mark.parametrize("location", [[8, 8], [3, 6], [-2, 15]])
def test_every_scale_has_a_canvas_with_its_patch_around_the_same_centre(location: list[int]) -> None:
    geometry = Geometry(24, 24, 2, glimpse_size=4, scales=3)
    q, (_, y, centres) = posterior(geometry), look(geometry, [location])
    pixels, mask = q.masked_image(q.embed(y[:, 0], centres[:, 0]))
    for scale, patch in enumerate(y[:, 0].unflatten(1, (3, 2)).unbind(1)):
        factor = 2**scale
        margin = 30  # of the plane on which the patch is laid, and from which the image is cut out
        row, col = (margin + at - (factor - 1) * 2 for at in location)
        large = patch.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
        sides = (col, 24 + 2 * margin - col - 4 * factor, row, 24 + 2 * margin - row - 4 * factor)
        plane = pad(torch.cat([large, torch.ones(2, 1, 4 * factor, 4 * factor)], 1), sides)
        expected = plane[..., margin:-margin, margin:-margin]
        assert torch.allclose(pixels[:, scale], expected[:, :-1])
        assert torch.equal(mask[:, scale], expected[:, -1:])


def test_no_rounding_covers_what_was_not_seen() -> None:
    for extent, side in [(60, 32), (224, 50), (31, 64)]:
        for start in range(-20, extent + 5):
            rows = overlap(torch.tensor(start), torch.tensor(1), 16, extent, side)
            inside = max(0, min(extent, start + 16) - max(0, start))
            assert rows.sum() == inside * side
            assert rows.max() <= extent
