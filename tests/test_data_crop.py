"""Differentiable glimpses: those of the sensor at whole pixels, with the gradient of differences."""

import torch

from data.crop import crops
from data.retina import Retina

IMAGES = torch.randint(256, (3, 16, 12, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
INDEX = torch.tensor([2, 0])
PLACES = torch.tensor([[[3, 4, 4], [0, 0, 4], [12, 8, 4]], [[-2, 9, 4], [5, 1, 4], [14, -3, 4]]])


def test_at_whole_pixels_they_are_the_sensors() -> None:
    plain = Retina(4)(IMAGES, INDEX, PLACES)
    torch.testing.assert_close(Retina(4)(IMAGES, INDEX, PLACES.float()), plain, atol=1e-5, rtol=0)
    assert plain.shape == (2, 3, 2, 4, 4) and plain.std() > 0.2


def test_wide_squares_are_averaged_down() -> None:
    for side in (8, 12):
        places = torch.cat([PLACES[..., :2], torch.full_like(PLACES[..., :1], side)], -1)
        plain = Retina(4)(IMAGES, INDEX, places)
        torch.testing.assert_close(crops(IMAGES, INDEX, places.float(), 4), plain, atol=1e-5, rtol=0)


def test_several_scales_have_one_centre() -> None:
    sensor = Retina(4, scales=2)
    plain, between = sensor(IMAGES, INDEX, PLACES), sensor(IMAGES, INDEX, PLACES.float())
    torch.testing.assert_close(between, plain, atol=1e-5, rtol=0)


def test_the_gradient_is_that_of_differences() -> None:
    """Away from the centres of pixels, where the interpolation has a corner."""
    places = torch.tensor([[[3.3, 4.2, 4.0], [5.1, 2.4, 6.3]]], requires_grad=True)
    weights = torch.randn(1, 2, 2, 4, 4, generator=torch.Generator().manual_seed(1))

    def value(at: torch.Tensor) -> torch.Tensor:
        return (weights * crops(IMAGES, INDEX[:1], at, 4)).sum()

    (slope,) = torch.autograd.grad(value(places), places)
    step = 2e-3
    for n in range(places.numel()):
        moved = torch.zeros(6).index_fill(0, torch.tensor(n), step).view_as(places)
        with torch.no_grad():
            difference = (value(places + moved) - value(places - moved)) / (2 * step)
        torch.testing.assert_close(slope.flatten()[n], difference, atol=0.02, rtol=0.02)
    assert slope.abs().min() > 1e-3
