"""Wide squares: the same to the last bit, whether summed one by one or from sums that all share."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from data import pyramid
from data.averaging import averages, square_averages
from data.places import places_at
from data.retina import Retina


def noise(height: int, width: int, count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, height, width, 2), generator=generator, dtype=torch.uint8)


@given(st.integers(8, 30), st.integers(8, 30), st.sampled_from([2, 3, 4]), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_shared_sums_show_what_a_square_of_its_own_shows(
    height: int, width: int, factor: int, seed: int
) -> None:
    images, generator = noise(height, width), torch.Generator().manual_seed(seed)
    corners = torch.randint(-2, 9, (3, 4, 2), generator=generator) * factor  # also over the borders
    places, index = places_at(corners, 4 * factor), torch.tensor([2, 0, 2])
    alone = Retina(4)(images, index, places)
    assert pyramid.summed(images, factor, 10**9) is not None
    assert torch.equal(Retina(4)(images, index, places), alone)


def test_they_are_made_when_as_much_has_been_read_and_then_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, sensor = noise(16, 16), Retina(4)
    half, whole = torch.tensor([[[0, 8, 8]]]), torch.tensor([[[4, 8, 8]]])
    for count in range(3):  # of 8 x 8 pixels: three images have 12 such squares
        before = sensor(images, torch.tensor([1]), half)
        assert (2 in pyramid._known[images].sums) is (count == 2)

    def refused(patches: Tensor, factor: int) -> Tensor:
        raise AssertionError

    monkeypatch.setattr("data.retina.block_sums", refused)
    assert torch.equal(sensor(images, torch.tensor([1]), half), before)
    sensor(images, torch.tensor([1]), whole)
    with pytest.raises(AssertionError):  # between blocks there is nothing to share
        sensor(images, torch.tensor([1]), torch.tensor([[[3, 8, 8]]]))


def test_without_room_squares_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images, places = noise(16, 16), torch.tensor([[[0, 8, 8]]])
    shared = noise(16, 16)
    pyramid.summed(shared, 2, 10**9)
    monkeypatch.setattr(pyramid, "MOST_BYTES", 100)
    assert pyramid.summed(images, 2, 10**9) is None
    found = [Retina(4)(some, torch.tensor([0]), places) for some in (images, shared)]
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("factor", [11, 12, 16])
def test_the_largest_sums_fit(factor: int) -> None:
    white = torch.full((1, factor, factor, 1), 255, dtype=torch.uint8)
    sums = pyramid.summed(white, factor, 10**9)
    assert sums is not None and sums.item() == 255 * factor**2


@pytest.mark.parametrize(("side", "size"), [(14, 8), (9, 4), (224, 15), (260, 16)])
def test_averages_of_squares_that_do_not_divide_are_exact(side: int, size: int) -> None:
    patches = noise(side, side)
    found = square_averages(patches, size)
    torch.testing.assert_close(found, averages(patches, size), rtol=1e-5, atol=1e-3)
    alone = torch.cat([square_averages(patch[None], size) for patch in patches])
    assert torch.equal(found, alone)
    turned = square_averages(patches.flip(1, 2).contiguous(), size).flip(1, 2)
    assert torch.equal(found, turned)


@pytest.mark.parametrize("side", [4, 6, 8, 16])
def test_mixed_precision_stops_before_the_sensor(side: int) -> None:
    places = torch.tensor([[[0, 0, side]]])
    expected = Retina(4)(noise(16, 16), torch.tensor([1]), places)
    with torch.autocast("cpu", torch.bfloat16):
        found = Retina(4)(noise(16, 16), torch.tensor([1]), places)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
