"""A retina of several scales: the same to the last bit, whether squares are summed one by one or shared."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from data import pyramid
from data.places import places_at
from data.retina import Retina, block_sums, gather_patches
from data.sliding import squares_of, window_sums, windows_of


def noise(height: int, width: int, channels: int = 2, count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, height, width, channels), generator=generator, dtype=torch.uint8)


@given(
    st.integers(3, 20),
    st.integers(3, 20),
    st.integers(1, 3),
    st.sampled_from([2, 3, 4, 12]),
    st.integers(1, 5),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_windows_hold_the_squares_at_any_corner(
    height: int, width: int, channels: int, factor: int, size: int, seed: int
) -> None:
    """Also far outside, also of windows whose sums need more digits."""
    images, generator = noise(height, width, channels), torch.Generator().manual_seed(seed)
    corners = torch.randint(-3 * factor * size, 20 + 2 * factor * size, (4, 9, 2), generator=generator)
    index = torch.tensor([2, 0, 2, 1])
    found = squares_of(windows_of(images, factor, size), index, corners, size)
    patches = gather_patches(images, index, corners, factor * size).flatten(0, 1)
    assert torch.equal(found.flatten(0, 1).float(), block_sums(patches, factor))


@pytest.mark.parametrize("size", [4, 5])
def test_a_retina_sees_the_same_once_they_are_made(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images, sensor = noise(20, 26), Retina(size, scales=3)
    corners = torch.randint(-4, 24, (3, 4, 2), generator=torch.Generator().manual_seed(0))
    index, places = torch.tensor([2, 0, 1]), places_at(corners, size)
    alone = sensor(images, index, places)
    for _ in range(9):
        sensor(images, index, places)
    assert set(pyramid._known[images].sums) == {("windows", 2, size), ("windows", 4, size)}
    monkeypatch.setattr("data.retina.block_sums", None)  # which nothing asks for any more
    assert torch.equal(sensor(images, index, places), alone)


def test_they_are_made_when_so_much_was_read_and_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = noise(16, 16, channels=1)  # 768 pixels
    assert window_sums(images, 2, 4, 1400) is None
    found = window_sums(images, 2, 4, 200)
    assert found is not None and window_sums(images, 2, 4, 0) is found
    monkeypatch.setattr(pyramid, "MOST_BYTES", found.numel() * found.itemsize)
    assert window_sums(images, 4, 4, 10**9) is None  # none is left beside the first
    assert window_sums(noise(16, 16, channels=1), 2, 4, 10**9) is not None


def test_one_scale_keeps_nothing() -> None:
    images = noise(16, 16)
    for _ in range(99):
        Retina(4)(images, torch.tensor([0]), torch.tensor([[[1, 1, 8]]]))
    assert images not in pyramid._known
