"""Sources without a design, and the closed-form map on real faces."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, split_of
from torch import Tensor

from boed.search.heuristics import (
    SHARPNESS,
    centre_sequences,
    linear_information,
    linear_sequences,
    saliency_sequences,
)
from data import Geometry, SettingsError, load
from data.places import places_at

FACES = Geometry(224, 224, 3, glimpse_size=16, per_axis=50, last_excluded=True)


def test_centre_is_ordered_by_distance_and_the_same_for_all() -> None:
    found = centre_sequences(FACES, 7, 40)
    assert found.shape == (7, 40, 3) and (found == found[0]).all()
    distance = (found[0, :, :2] + 8 - 112).double().square().sum(-1)
    assert (distance.diff() >= 0).all()
    others = {tuple(place) for place in FACES.grid().locations.tolist()}
    others -= {tuple(place) for place in found[0].tolist()}
    assert len(others) == 2500 - 40  # distinct, and on the grid
    assert min((r - 104) ** 2 + (c - 104) ** 2 for r, c, _ in others) >= distance[-1]


def test_centre_of_an_image_that_is_not_square() -> None:
    assert centre_sequences(Geometry(16, 48, 1, glimpse_size=16, per_axis=5), 1, 1).tolist() == [
        [[0, 16, 16]]
    ]


def draws(epe_map: Tensor, count: int = 4000, glimpses: int = 2, k: float = 5.0, seed: int = 0) -> Tensor:
    """(N, T) numbers of the places drawn."""
    places = torch.arange(len(epe_map))[:, None].expand(-1, 3)
    return saliency_sequences(epe_map, places, torch.arange(count), glimpses, k=k, seed=seed)[..., 0]


@pytest.mark.parametrize("k", [0.0, *SHARPNESS])
def test_saliency_draws_from_the_softmax_without_replacement(k: float) -> None:
    epe_map = torch.tensor([0.5, 0.45, 0.6, 0.3, 0.35], dtype=torch.float64)
    found, p = draws(epe_map, k=k), (-k * epe_map).softmax(0)
    second = (p[:, None] * p / (1 - p[:, None])).fill_diagonal_(0).sum(0)  # of each first, then of each other
    for step, expected in enumerate((p, second)):
        shares = torch.bincount(found[:, step], minlength=5) / 4000
        error = (expected * (1 - expected) / 4000).sqrt()
        assert ((shares - expected).abs() <= 4 * error + 1e-9).all()
    assert (found[:, 0] != found[:, 1]).all()


def test_saliency_depends_on_seed_and_id_alone() -> None:
    epe_map, ids = torch.rand(9, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 70, 8])
    together = saliency_sequences(epe_map, PLACES, ids, 4, k=5, seed=1)
    for row, i in enumerate(ids):
        assert torch.equal(saliency_sequences(epe_map, PLACES, i[None], 4, k=5, seed=1)[0], together[row])
    assert torch.equal(saliency_sequences(epe_map, PLACES, ids, 2, k=5, seed=1), together[:, :2])
    assert not torch.equal(saliency_sequences(epe_map, PLACES, ids, 4, k=5, seed=2), together)
    assert saliency_sequences(epe_map, PLACES, ids[:0], 4, k=5, seed=1).shape == (0, 4, 3)


def test_saliency_keeps_an_images_noise_when_the_map_moves_by_a_constant() -> None:
    epe_map = torch.rand(9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draws(epe_map, 50), draws(epe_map - 0.7, 50))


def test_saliency_never_takes_an_infinite_place() -> None:
    epe_map = torch.tensor([0.1, math.inf, 0.2, 0.3])
    for k in (0.0, 50.0):
        assert (draws(epe_map, 200, glimpses=3, k=k) != 1).all()
    with pytest.raises(SettingsError, match="expected 1 to 3 glimpses, found 4"):
        draws(epe_map, 1, glimpses=4)


@pytest.mark.parametrize("k", [-1.0, math.nan, math.inf])
def test_an_impossible_sharpness_is_refused(k: float) -> None:
    with pytest.raises(SettingsError, match="sharpness"):
        draws(torch.zeros(3), k=k)


def test_a_map_of_nan_is_refused() -> None:
    with pytest.raises(SettingsError, match="NaN"):
        draws(torch.tensor([0.1, math.nan, 0.2]))


def test_linear_looks_first_where_the_label_shows() -> None:
    random = np.random.default_rng(0)
    cells, labels = random.integers(0, 256, (400, 9)), random.integers(0, 3, 400)
    cells[:, 5] = 30 + 80 * labels
    cells[:, 2] = 30 + 80 * np.where(random.random(400) < 0.7, labels, random.integers(0, 3, 400))
    information = linear_information(split_of(cells, labels, noise=8), GEOMETRY, 3)
    found = linear_sequences(information, GEOMETRY, 6, 2)
    assert found.shape == (6, 2, 3) and (found == PLACES[[5, 2]]).all()


def test_linear_keeps_its_glimpses_apart() -> None:
    near = FACES.grid().locations.double().sub(100).square().sum(-1).neg()  # one broad peak
    found = linear_sequences(near, FACES, 1, 5)[0]
    gaps = (found[:, None] - found).abs().amax(-1).fill_diagonal_(99)
    assert gaps.min() >= 12
    with pytest.raises(SettingsError, match="0.75 of a glimpse apart"):
        linear_sequences(torch.rand(16), Geometry(12, 12, 1, glimpse_size=8, per_axis=4), 1, 5)


@pytest.mark.parametrize("glimpses", [0, 10])
def test_more_glimpses_than_places_are_refused(glimpses: int) -> None:
    with pytest.raises(SettingsError, match=f"expected 1 to 9 glimpses, found {glimpses}"):
        centre_sequences(GEOMETRY, 1, glimpses)


def test_published_first_glimpses_are_among_the_best_of_the_linear_map(
    real_data: Callable[[str], Path],
) -> None:
    """Within the best twentieth of 2,500 locations, on 500 images: eye, mouth, bridge of the nose."""
    published = {"Male": (88, 63), "Mouth_Slightly_Open": (156, 92), "Eyeglasses": (97, 114)}
    sets = [load("celebahq", real_data("celebahq"), attribute=name) for name in published]
    labels = torch.stack([data["valid"].labels for data in sets], 1)
    information = linear_information(sets[0]["valid"], FACES, 2, labels=labels)
    where = FACES.grid().index(places_at(torch.tensor(list(published.values())), 16))
    better = (information > information.gather(0, where[None])).sum(0)
    assert (better < 125).all()
