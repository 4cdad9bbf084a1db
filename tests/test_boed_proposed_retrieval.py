"""Retrieval from proposals: what is proposed, how variants are weighed, and what is drawn."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import boed.completions.proposed_retrieval
from boed.completions.canvas_state import observed_cells
from boed.completions.completion import WeightedCompletion
from boed.completions.factor_analysis import FactorAnalysis, fit_factor_analysis
from boed.completions.proposed_retrieval import ProposedRetrieval, Variants, new_model, variant_patches
from data.dataset import Split
from data.geometry import Geometry
from data.grey import grey_levels
from data.places import places_at

GEOMETRY = Geometry(24, 24, 1, glimpse_size=8, per_axis=5)
LOOKED = torch.tensor([[[2, 3], [12, 14], [9, 5]]])
WHOLE = torch.cartesian_prod(torch.arange(0, 24, 8), torch.arange(0, 24, 8))[None]


def blobs(count: int, geometry: Geometry = GEOMETRY, seed: int = 0) -> Split:
    """Smooth random images that fill the levels 0 to 255."""
    random = np.random.default_rng(seed)
    coarse = torch.from_numpy(random.random((count, geometry.channels, 6, 6)))
    size = (geometry.height, geometry.width)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
    images = (smooth * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return Split(images, torch.zeros(count).long(), torch.arange(count), f"blobs {seed}")


def completion_of(
    bank: Split, geometry: Geometry = GEOMETRY, *, symmetric: bool = False, target: float = 5.0
) -> ProposedRetrieval:
    others = blobs(80, geometry, seed=99)
    fitted = fit_factor_analysis(others, torch.arange(80), geometry, factors=20, resolution=12)
    assert isinstance(fitted.network, FactorAnalysis)
    return ProposedRetrieval(new_model(fitted.network, bank, symmetric=symmetric), bank, target)


def look(images: Tensor, corners: Tensor = LOOKED, geometry: Geometry = GEOMETRY) -> tuple[Tensor, Tensor]:
    """Glimpses of images (B, H, W, C) at the same corners (1, t, 2), and their places for each."""
    places = places_at(corners, geometry.glimpse_size).expand(len(images), -1, -1)
    return geometry.retina()(images, torch.arange(len(images)), places), places


def moved(image: Tensor, down: int, right: int) -> Tensor:
    """An image (H, W, C) shifted, with edge pixels repeated: by numpy's padding."""
    by = max(abs(down), abs(right))
    padded = np.pad(image.numpy(), ((by, by), (by, by), (0, 0)), mode="edge")
    height, width, _ = image.shape
    return torch.from_numpy(padded[by - down : by - down + height, by - right : by - right + width].copy())


def made(bank: Split, row: int, mirrored: bool, shift: tuple[int, int]) -> Tensor:
    image = bank.images[row].flip(1) if mirrored else bank.images[row]
    return moved(image, *shift)


@pytest.mark.parametrize("symmetric", [False, True])
def test_an_image_of_the_bank_is_proposed_first_and_weighs_most(symmetric: bool) -> None:
    """First when it is seen whole, among the first before that, and always with the largest weight."""
    bank = blobs(60)
    r = completion_of(bank, symmetric=symmetric)
    for row in range(0, 60, 7):
        glimpses, places = look(bank.images[row : row + 1])
        proposed = r.propose(*look(bank.images[row : row + 1], WHOLE))
        assert proposed.rows[0] == row and not proposed.mirrored[0]
        itself = (r.propose(glimpses, places).rows == row) & ~r.propose(glimpses, places).mirrored
        assert itself.nonzero()[0, 0] < len(itself) / 10
        variants, log_weights = r.weighted(glimpses, places)
        best = log_weights[0].argmax()
        assert variants.rows[best] == row and not variants.mirrored[best]
        assert variants.shifts[best].tolist() == [0, 0]
        assert r.distances(glimpses, places, variants)[0, best] == 0


def test_proposals_are_ordered_by_the_density_of_their_codes() -> None:
    """Against the closed-form Gaussian of `FactorAnalysis`, image by image; mirrored ones have own codes."""
    bank = blobs(30)
    r = completion_of(bank, symmetric=True)
    glimpses, places = look(blobs(1, seed=5).images)
    network = r.network.factors
    assert isinstance(network, FactorAnalysis)
    seen = observed_cells(glimpses.double(), places, GEOMETRY, network.cells)
    posterior = network.posterior(seen)
    shown = torch.cat([bank.images, bank.images.flip(2)]).permute(0, 3, 1, 2).double() / 255
    cells = shown.unflatten(2, (12, 2)).unflatten(4, (12, 2)).mean((3, 5))
    loadings, weight = network.loadings.flatten(1), 1 / network.variance
    precision = torch.eye(20).double() + weight * loadings @ loadings.T
    codes = torch.linalg.solve(precision, weight * loadings @ (cells - network.mean).flatten(1).T).T
    gap = codes - posterior.loc
    density = -(gap @ posterior.precision_matrix[0] * gap).sum(1)
    proposed = r.propose(glimpses, places)
    found = proposed.rows + 30 * proposed.mirrored
    assert torch.equal(found, density.argsort(descending=True)[: len(found)])
    assert len(found) == 60 and 0 < proposed.mirrored.sum() < 60


def test_only_so_many_are_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    r = completion_of(blobs(60))
    glimpses, places = look(blobs(1, seed=5).images)
    every = r.propose(glimpses, places)
    monkeypatch.setattr(boed.completions.proposed_retrieval, "PROPOSALS", 7)
    assert torch.equal(r.propose(glimpses, places).rows, every.rows[:7])
    assert len(r.weighted(glimpses, places)[0].rows) == 7 * 9
    assert sorted(every.rows.tolist()) == list(range(60))


@pytest.mark.parametrize(
    ("mirrored", "shift"), [(False, (1, 0)), (False, (-1, 1)), (True, (0, 0)), (True, (1, -1))]
)
def test_a_variant_is_explained_by_the_image_that_it_was_made_of(
    mirrored: bool, shift: tuple[int, int]
) -> None:
    """Without variants no image of the bank explains it exactly."""
    bank = blobs(20)
    r = completion_of(bank, symmetric=True)
    glimpses, places = look(made(bank, 4, mirrored, shift)[None])
    variants, log_weights = r.weighted(glimpses, places)
    distances = r.distances(glimpses, places, variants)[0]
    exact = distances == 0
    assert exact.sum() == 1 and log_weights[0].argmax() == exact.nonzero()[0, 0]
    found = variants.take(exact)
    assert (found.rows.item(), found.mirrored.item()) == (4, mirrored)
    assert tuple(found.shifts[0].tolist()) == shift
    plain = ~variants.mirrored & (variants.shifts == 0).all(1)
    assert plain.sum() == 20 and distances[plain].min() > 0


def test_an_unsymmetric_data_set_is_never_mirrored() -> None:
    bank = blobs(20)
    glimpses, places = look(bank.images[4:5].flip(2))
    for symmetric in (True, False):
        variants, _ = completion_of(bank, symmetric=symmetric).weighted(glimpses, places)
        assert bool(variants.mirrored.any()) == symmetric
        distances = completion_of(bank, symmetric=symmetric).distances(glimpses, places, variants)
        assert bool((distances == 0).any()) == symmetric


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_distances_are_those_of_images_that_are_made(scales: int) -> None:
    """In colour, at the border and beyond it, by another way: make each variant, look, subtract."""
    geometry = Geometry(22, 18, 3, glimpse_size=6, scales=scales)
    bank = blobs(5, geometry)
    r = completion_of(bank, geometry, symmetric=True)
    locations = torch.tensor([[[0, 0], [9, 7], [18, 14], [-3, 4]]])
    glimpses, places = look(blobs(1, geometry, seed=5).images, locations, geometry)
    variants, _ = r.weighted(glimpses, places)
    assert len(variants.rows) == 5 * 2 * 9
    found = r.distances(glimpses, places, variants)[0]
    for n in range(0, 90, 4):
        row, mirrored = int(variants.rows[n]), bool(variants.mirrored[n])
        image = made(bank, row, mirrored, tuple(variants.shifts[n].tolist()))
        shown, _ = look(image[None], locations, geometry)
        assert found[n] == (grey_levels(shown) - grey_levels(glimpses)).square().sum()


def test_patches_of_whole_images_are_the_variants() -> None:
    bank = blobs(3, Geometry(10, 7, 2, glimpse_size=3))
    variants = Variants(
        torch.tensor([2, 0, 1]), torch.tensor([True, False, True]), torch.tensor([[1, -2], [0, 0], [-1, 3]])
    )
    found = variant_patches(bank.images, variants, torch.zeros(1, 2).long(), (10, 7))[:, 0]
    for n, (row, mirrored, shift) in enumerate(zip(*variants, strict=True)):
        assert torch.equal(found[n], made(bank, int(row), bool(mirrored), tuple(shift.tolist())))


@pytest.mark.parametrize(("size", "step"), [(2, 1), (8, 1), (12, 2), (16, 2), (24, 3)])
def test_shifts_are_an_eighth_of_a_glimpse(size: int, step: int) -> None:
    r = completion_of(blobs(3), replace(GEOMETRY, glimpse_size=size))
    steps = (-step, 0, step)
    assert r.shifts.tolist() == [[down, right] for down in steps for right in steps]


@pytest.mark.parametrize("target", [2.0, 5.0, 20.0, 60.0])
def test_weights_meet_the_effective_sample_size(target: float) -> None:
    r = completion_of(blobs(60), symmetric=True, target=target)
    glimpses, places = look(blobs(6, seed=5).images)
    sizes = r.sample_size(glimpses, places)
    assert isinstance(r, WeightedCompletion)
    assert sizes.tolist() == pytest.approx([target] * 6, rel=1e-3)
    _, log_weights = r.weighted(glimpses[:1], places[:1])
    assert float(1 / log_weights.exp().square().sum()) == pytest.approx(target, rel=1e-3)


def test_completions_are_variants_in_proportion_to_their_weights() -> None:
    """Systematic resampling: each its share of times, rounded up or down; all randomness is in the noise."""
    r = completion_of(blobs(12), symmetric=True)
    glimpses, places = look(blobs(1, seed=5).images)
    variants, log_weights = r.weighted(glimpses, places)
    corner = torch.zeros(1, 2).long()
    images = variant_patches(r.bank.images, variants, corner, (24, 24))[:, 0].flatten(1)
    shares = log_weights.exp()[0] * 50
    noise = torch.randn(1, 50, 1, generator=torch.Generator().manual_seed(0))
    found = r.complete(glimpses, places, noise)
    assert found.shape == (1, 50, 24, 24, 1) and found.dtype == torch.uint8
    drawn = torch.tensor([int((images == one).all(1).nonzero()[0, 0]) for one in found[0].flatten(1)])
    times = torch.bincount(drawn, minlength=len(images))
    assert ((times - shares).abs() <= 1).all() and times.count_nonzero() > 3
    assert torch.equal(found, r.complete(glimpses, places, noise))
    others = [r.complete(glimpses, places, noise + step) for step in (-1.0, 1.0)]
    assert any(not torch.equal(found, other) for other in others)


@pytest.mark.parametrize("noise", [-40.0, 40.0])
def test_extreme_noise_draws_like_any_other(noise: float) -> None:
    r = completion_of(blobs(12))
    glimpses, places = look(blobs(1, seed=5).images)
    found = r.complete(glimpses, places, torch.full((1, 9, 1), noise))
    assert found.shape == (1, 9, 24, 24, 1)


def test_an_image_is_completed_alone_as_beside_others() -> None:
    r = completion_of(blobs(40), symmetric=True)
    glimpses, places = look(blobs(5, seed=5).images)
    places = places + torch.arange(5)[:, None, None]
    noise = torch.randn(5, 8, 1, generator=torch.Generator().manual_seed(0))
    together, sizes = r.complete(glimpses, places, noise), r.sample_size(glimpses, places)
    for n in range(5):
        one = glimpses[n : n + 1], places[n : n + 1]
        assert torch.equal(r.complete(*one, noise[n : n + 1])[0], together[n])
        assert torch.equal(r.sample_size(*one)[0], sizes[n])


def test_distances_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same result; a part has no more glimpse values than were allowed."""
    r, sizes = completion_of(blobs(20)), list[int]()
    glimpses, places = look(blobs(1, seed=5).images)
    variants, _ = r.weighted(glimpses, places)
    whole = r.distances(glimpses, places, variants)
    gather = boed.completions.proposed_retrieval.variant_patches

    def counted(*arguments: Any) -> Tensor:
        found = gather(*arguments)
        sizes.append(found.numel())
        return found

    monkeypatch.setattr(boed.completions.proposed_retrieval, "variant_patches", counted)
    monkeypatch.setattr(boed.completions.proposed_retrieval, "GLIMPSE_VALUES", 3 * 3 * 64 + 7)
    assert torch.equal(r.distances(glimpses, places, variants), whole)
    assert len(sizes) == 60 and max(sizes) == 3 * 3 * 64
    monkeypatch.setattr(boed.completions.proposed_retrieval, "GLIMPSE_VALUES", 1)  # one at a time at least
    assert torch.equal(r.distances(glimpses, places, variants), whole)


def test_with_nothing_seen_all_proposals_weigh_the_same() -> None:
    r = completion_of(blobs(12))
    _, log_weights = r.weighted(torch.zeros(1, 0, 1, 8, 8), torch.zeros(1, 0, 3).long())
    assert log_weights.exp()[0].tolist() == pytest.approx([1 / 108] * 108)


def test_images_can_be_left_out_for_a_while() -> None:
    r = completion_of(blobs(20), symmetric=True)
    glimpses, places = look(r.bank.images[4:5])
    before = r.propose(glimpses, places)
    with r.without(torch.tensor([4, 9])):
        during = r.propose(glimpses, places)
    assert torch.equal(during.rows, before.rows[(before.rows != 4) & (before.rows != 9)])
    assert torch.equal(r.propose(glimpses, places).rows, before.rows)
