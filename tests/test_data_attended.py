"""The share of images that attend each pixel is a count, whatever the squares."""

import pytest
import torch
from torch import Tensor

from data.attended import attended_by_any, attended_share

SIZE = (9, 12)


def squares(count: int, seed: int) -> Tensor:
    """(N, 3) of any side, some of them over the border or outside of the image."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(-5, 14, (count, 2), generator=generator)
    return torch.cat([corners, torch.randint(1, 13, (count, 1), generator=generator)], 1)


def mask(place: list[int]) -> Tensor:
    """(H, W) whether a square covers the pixel, by the definition."""
    row, col, side = place
    rows, cols = torch.arange(SIZE[0])[:, None], torch.arange(SIZE[1])
    return (rows >= row) & (rows < row + side) & (cols >= col) & (cols < col + side)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_mean_of_the_masks(seed: int) -> None:
    places = squares(50, seed)
    masks = torch.stack([mask(place) for place in places.tolist()])
    assert torch.equal(attended_share(places, SIZE), masks.sum(0).double() / 50)


def test_inside_the_image_shares_sum_to_the_mean_area() -> None:
    places = torch.tensor([[0, 0, 9], [3, 3, 4], [8, 11, 1]])
    assert float(attended_share(places, SIZE).sum()) == pytest.approx((81 + 16 + 1) / 3)


def test_the_whole_image_is_attended_by_all() -> None:
    assert torch.equal(attended_share(torch.tensor([[0, 0, 12]] * 4), SIZE), torch.ones(SIZE).double())


def test_any_glimpse_counts_an_image_once() -> None:
    places = squares(40, 7).view(10, 4, 3)
    masks = torch.stack([torch.stack([mask(place) for place in own]).any(0) for own in places.tolist()])
    assert torch.equal(attended_by_any(places, SIZE), masks.sum(0).double() / 10)
