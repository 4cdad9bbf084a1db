"""What a bank says of its images does not depend on what it keeps."""

import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated, exact_approximations, pointer_split
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import boed.estimators.bank
from boed.estimators.bank import Bank, embed_places
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from data.dataset import Split
from data.geometry import Geometry
from data.grey import GREY_STEPS, grey_levels
from data.retina import Retina

IMAGES, WIDTH = 40, 8
STATISTICS = 4 * IMAGES * 9 * WIDTH  # bytes
GLIMPSES = 2 * IMAGES * 16  # bytes at one place
ROWS = torch.tensor([7, 3, 3, 39, 0])


@pytest.fixture(scope="module")
def split() -> Split:
    return pointer_split(IMAGES, seed=3)


@pytest.fixture(scope="module")
def q() -> GlimpseSetPosterior:
    torch.manual_seed(0)
    return GlimpseSetPosterior((1, 4, 4), 4, 3, WIDTH).eval()


@pytest.fixture
def gathers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many glimpses each call of the sensor gathered, from now on."""
    call, found = Retina.__call__, list[int]()

    def spied(self: Retina, images: Tensor, index: Tensor, locations: Tensor) -> Tensor:
        found.append(locations[..., 0].numel())
        return call(self, images, index, locations)

    monkeypatch.setattr(Retina, "__call__", spied)
    return found


def bank_of(q: GlimpseSetPosterior, split: Split, budget: float) -> Bank:
    """With a budget in bytes."""
    return Bank(q, split, PLACES, GEOMETRY, budget / 2**30)


@torch.no_grad()
def one_by_one(q: GlimpseSetPosterior, split: Split, rows: Tensor, places: list[int]) -> Tensor:
    """(U, L, D), a glimpse at a time."""
    return torch.stack([torch.stack([statistic(q, split, row, p) for p in places]) for row in rows.tolist()])


def statistic(q: GlimpseSetPosterior, split: Split, row: int, place: int) -> Tensor:
    top, left, _ = PLACES[place].tolist()
    glimpse = split.images[row, top : top + 4, left : left + 4].permute(2, 0, 1) / 255
    return q.embed(glimpse[None], GEOMETRY.centres(PLACES[place : place + 1]))[0]


@pytest.mark.parametrize("budget", [0, STATISTICS, 1e9])
def test_statistics_are_those_of_single_glimpses(q: GlimpseSetPosterior, split: Split, budget: float) -> None:
    bank = bank_of(q, split, budget)
    assert len(bank) == IMAGES and bank.width == WIDTH
    torch.testing.assert_close(bank.statistics(ROWS), one_by_one(q, split, ROWS, list(range(9))))
    some = torch.tensor([8, 2, 5])
    torch.testing.assert_close(bank.statistics(ROWS, some), one_by_one(q, split, ROWS, some.tolist()))
    each = torch.tensor([8, 2, 5, 5, 0])
    expected = torch.stack([one_by_one(q, split, ROWS, list(range(9)))[n, p] for n, p in enumerate(each)])
    torch.testing.assert_close(bank.statistics_at(ROWS, each), expected)


@pytest.mark.parametrize(("budget", "kept"), [(STATISTICS, True), (STATISTICS - 1, False), (0, False)])
def test_statistics_are_kept_where_all_of_them_fit(
    q: GlimpseSetPosterior, split: Split, gathers: list[int], budget: int, kept: bool
) -> None:
    bank = bank_of(q, split, budget)
    assert bank.kept is kept
    assert sum(gathers) - 1 == (IMAGES * 9 if kept else 0)  # and one glimpse that tells the width
    gathers.clear()
    bank.statistics(ROWS)
    bank.statistics_at(ROWS, ROWS % 9)
    assert sum(gathers) == (0 if kept else len(ROWS) * 9 + len(ROWS))


@pytest.mark.parametrize(("room", "kept"), [(0, 0), (GLIMPSES - 1, 0), (GLIMPSES, 1), (3.5 * GLIMPSES, 3)])
def test_glimpses_are_kept_in_what_is_left(
    q: GlimpseSetPosterior, split: Split, gathers: list[int], room: float, kept: int
) -> None:
    """The first places that are asked for, each once, and never more than fit."""
    for statistics in (0, STATISTICS):
        bank = bank_of(q, split, statistics + room)
        asked = [4, 0, 4, 8, 7, 6, 5]
        first = {place: bank.grey_levels(place) for place in asked}
        gathers.clear()
        again = {place: bank.grey_levels(place) for place in first}
        assert gathers == [IMAGES] * (6 - kept)
        assert all(torch.equal(first[place], again[place]) for place in first)


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
@pytest.mark.parametrize("place", [(10, 10), (0, 21)])
def test_kept_glimpses_are_exact(scales: int, place: tuple[int, int]) -> None:
    """Against sums of integers, kept or not, with the brightest and the darkest images among them."""
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (9, 24, 24, 2), dtype=np.uint8))
    images[0], images[1] = 255, 0
    split = Split(images, torch.arange(9), torch.arange(9), "")
    geometry = Geometry(24, 24, 2, glimpse_size=4, scales=scales)
    torch.manual_seed(0)
    q = GlimpseSetPosterior(geometry.glimpse_shape(), 9, 1, 4).eval()
    for budget in (0.0, 1.0):
        bank = Bank(q, split, torch.tensor([[*place, 4]]), geometry, budget)
        once, again = bank.grey_levels(0), bank.grey_levels(0)
        expected = torch.from_numpy(np.concatenate([block_means(images, place, s) for s in range(scales)], 1))
        assert torch.equal(once, expected.flatten(1)) and torch.equal(again, once)
    assert (once * GREY_STEPS).max() <= 2**15 - 1
    assert torch.equal(once, (once * GREY_STEPS).round() / GREY_STEPS)


def block_means(images: Tensor, place: tuple[int, int], scale: int) -> np.ndarray:
    """(N, C, 4, 4) of one scale, in grey levels: integers over a power of four."""
    side, margin = 2**scale, (2**scale - 1) * 2
    padded = np.pad(images.numpy().astype(np.int64), ((0, 0), (40, 40), (40, 40), (0, 0)))
    top, left = (corner - margin + 40 for corner in place)
    patch = padded[:, top : top + 4 * side, left : left + 4 * side]
    blocks = patch.reshape(len(images), 4, side, 4, side, -1).sum((2, 4))
    return blocks.transpose(0, 3, 1, 2) / side**2


@given(st.lists(st.integers(0, 255 * 64), min_size=16, max_size=16))
@settings(max_examples=50, deadline=None)
def test_any_level_of_four_scales_survives_sixteen_bits(steps: list[int]) -> None:
    """The float32 of a sensor, of a multiple of 1/64 of a grey level, is taken back to that multiple."""
    glimpse = (torch.tensor(steps, dtype=torch.float64) / 64 / 255).float().view(1, 1, 4, 4)
    levels = grey_levels(glimpse)[0]
    assert (levels * 64).tolist() == steps
    assert torch.equal((levels * GREY_STEPS).to(torch.int16).double() / GREY_STEPS, levels)


@pytest.mark.parametrize("values", [1, 9 * 16 * 7, 10**6])
def test_images_are_embedded_in_blocks_of_a_limited_size(
    q: GlimpseSetPosterior,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
    gathers: list[int],
    values: int,
) -> None:
    monkeypatch.setattr(boed.estimators.bank, "EMBED_VALUES", values)
    rows = torch.arange(IMAGES)
    blocks = list(embed_places(q, split.images, rows, PLACES, GEOMETRY))
    assert all(16 * count <= max(values, 9 * 16) for count in gathers)  # one image at least
    assert len(blocks) == -(-IMAGES // max(1, min(IMAGES, values // (9 * 16))))
    torch.testing.assert_close(torch.cat(blocks), one_by_one(q, split, rows, list(range(9))))


def test_blocks_are_smaller_where_statistics_are_larger(
    q: GlimpseSetPosterior, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boed.estimators.bank, "EMBED_VALUES", 9 * 100 * 5)
    blocks = embed_places(q, split.images, torch.arange(IMAGES), PLACES, GEOMETRY, width=100)
    assert [len(block) for block in blocks] == [5] * 8


def test_a_bank_is_made_once_for_a_budget_and_anew_for_another_q() -> None:
    learned = exact_approximations(Enumerated())
    bank = learned.embedded()
    assert bank.kept and learned.embedded() is bank
    frugal = learned.embedded(0.0)
    assert not frugal.kept and learned.embedded(0.0) is frugal
    learned.forget()
    assert learned.embedded(0.0) is not frugal
