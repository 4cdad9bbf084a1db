"""Exact values against the definition on a world of 24 images, and what they say of the finite data set."""

import math
import time

import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated
from torch import Tensor

import boed.enumeration.exact
from boed.enumeration.exact import (
    Enumeration,
    exact_along,
    exact_epe_along,
    exact_fixed,
    exact_greedy,
    exact_random,
    optimal_epe,
)
from data.errors import SettingsError
from data.finite import load_finite, template_of, templates
from data.geometry import Geometry

HISTORIES = [[], [0], [4], [3, 8], [6, 1, 2]]


def enumeration(world: Enumerated) -> Enumeration:
    return Enumeration(world.split.images, world.split.labels, GEOMETRY)


@pytest.fixture(scope="module", params=[0, 1, 2])
def tiny(request: pytest.FixtureRequest) -> Enumerated:
    return Enumerated(seed=request.param)


@pytest.fixture(scope="module")
def finite() -> Enumeration:
    return Enumeration(*templates(), load_finite().geometry)


@pytest.fixture(scope="module")
def some() -> Tensor:
    return template_of(load_finite()["test"].ids[:300])


def after(exact: Enumeration, history: list[int]) -> Tensor:
    """(M, M) what is consistent with each template's glimpses."""
    places = torch.tensor(history, dtype=torch.int64).expand(len(exact), -1)
    return exact.consistent(exact.codes[torch.arange(len(exact))[:, None], places], places)


@pytest.mark.parametrize("history", HISTORIES, ids=str)
def test_every_value_is_that_of_the_definition(tiny: Enumerated, history: list[int]) -> None:
    exact = enumeration(tiny)
    consistent = after(exact, history)
    posterior, entropy, epe = exact.posterior(consistent), exact.entropy(consistent), exact.epe(consistent)
    for image in range(len(exact)):
        assert consistent[image].nonzero().view(-1).tolist() == tiny.consistent(image, history)
        assert posterior[image].tolist() == pytest.approx(tiny.posterior(image, history), abs=1e-12)
        assert entropy[image].item() == pytest.approx(tiny.entropy(image, history), abs=1e-12)
        assert epe[image].tolist() == pytest.approx(tiny.epe(image, history), abs=1e-12)


def test_histories_do_not_depend_on_those_beside_them(
    tiny: Enumerated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one piece, in many, and alone; in any order, repeated or not."""
    exact = enumeration(tiny)
    consistent = torch.cat([after(exact, history) for history in HISTORIES])
    together = exact.epe(consistent)
    order = torch.randperm(len(consistent), generator=torch.Generator().manual_seed(0)).repeat(2)
    monkeypatch.setattr(boed.enumeration.exact, "ENTRIES", 100)
    assert torch.equal(exact.epe(consistent[order]), together[order])
    assert torch.equal(torch.cat([exact.epe(row[None]) for row in consistent[:40]]), together[:40])


@pytest.mark.parametrize("scales", [1, 2])
def test_patterns_are_told_apart_by_any_pixel_scale_and_channel(scales: int) -> None:
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.choice([7, 8], (40, 6, 6, 2), p=[0.9, 0.1]).astype(np.uint8))
    geometry = Geometry(6, 6, 2, glimpse_size=2, scales=scales, per_axis=3)
    exact = Enumeration(images, torch.arange(40) % 2, geometry)
    places = geometry.grid().locations
    glimpses = geometry.retina()(images, torch.arange(40), places.expand(40, -1, -1)).flatten(2)  # (M, L, D)
    alike = (glimpses[:, None] == glimpses).all(-1)
    assert torch.equal(exact.codes[:, None] == exact.codes, alike)
    assert torch.equal(exact.codes.amax(0) + 1, alike.double().sum(1).reciprocal().sum(0).round().long())
    shown = exact.examples.gather(1, exact.codes.T)  # (L, M): a template that shows the same
    assert alike[torch.arange(40)[:, None], shown.T, torch.arange(len(places))].all()


def test_information_is_never_negative_and_a_place_tells_nothing_twice(
    finite: Enumeration, some: Tensor
) -> None:
    designs = exact_random(finite, some, 5, seed=0)
    now = designs.entropy[:, :-1, None]
    assert (designs.epe_map >= 0).all()
    assert (designs.epe_map <= now + 1e-12).all()
    for step in range(1, 5):
        seen = designs.epe_map[:, step].gather(1, designs.places[:, :step])
        assert torch.allclose(seen, now[:, step].expand_as(seen), atol=1e-12)


def test_what_is_expected_is_what_happens_on_average(tiny: Enumerated) -> None:
    """Over all templates the mean EPE of the chosen places is the mean entropy after them."""
    designs = exact_greedy(enumeration(tiny), torch.arange(24), 3)
    expected = designs.epe_map.gather(2, designs.places[..., None]).mean((0, 2))
    assert torch.allclose(expected, designs.entropy[:, 1:].mean(0), atol=1e-12)


def test_greedy_takes_the_best_place_that_is_new(tiny: Enumerated) -> None:
    exact = enumeration(tiny)
    designs = exact_greedy(exact, torch.arange(len(exact)), 4)
    assert torch.equal(designs.locations, PLACES[designs.places])
    for image, places in enumerate(designs.places.tolist()):
        assert len(set(places)) == 4
        for step, place in enumerate(places):
            epe = tiny.epe(image, places[:step])
            assert designs.epe_map[image, step].tolist() == pytest.approx(epe, abs=1e-12)
            assert epe[place] <= min(epe[p] for p in range(9) if p not in places[:step]) + 1e-12


def test_given_sequences_have_values_on_their_own_histories(tiny: Enumerated) -> None:
    exact = enumeration(tiny)
    images = torch.tensor([3, 3, 17, 0])
    places = torch.tensor([[0, 4, 8], [8, 4, 0], [2, 2, 5], [7, 6, 1]])
    designs = exact_along(exact, images, places)
    assert torch.equal(designs.places, places)
    assert torch.equal(designs.epe_map, exact_epe_along(exact, images, places))
    for row, (image, chosen) in enumerate(zip(images.tolist(), places.tolist(), strict=True)):
        for t in range(4):
            assert designs.entropy[row, t].item() == pytest.approx(tiny.entropy(image, chosen[:t]), abs=1e-12)
        for t in range(3):
            expected = pytest.approx(tiny.epe(image, chosen[:t]), abs=1e-12)
            assert designs.epe_map[row, t].tolist() == expected


def test_random_places_are_distinct_uniform_and_seeded(finite: Enumeration, some: Tensor) -> None:
    places = exact_random(finite, some, 2, seed=0).places
    assert (places[:, 0] != places[:, 1]).all()
    assert places.flatten().bincount(minlength=64).max() < 30  # of 600 / 64 on average
    assert torch.equal(places, exact_random(finite, some, 2, seed=0).places)
    assert not torch.equal(places, exact_random(finite, some, 2, seed=1).places)


def test_the_fixed_order_is_greedy_on_the_average(tiny: Enumerated) -> None:
    order = exact_fixed(enumeration(tiny), 4).tolist()
    assert len(set(order)) == 4
    for step, place in enumerate(order):
        means = {p: mean_entropy(tiny, [*order[:step], p]) for p in range(9) if p not in order[:step]}
        assert means[place] <= min(means.values()) + 1e-12


def mean_entropy(world: Enumerated, places: list[int]) -> float:
    return sum(world.entropy(image, places) for image in range(len(world.labels))) / len(world.labels)


def best(world: Enumerated, found: list[int], seen: list[int], left: int) -> float:
    """The optimal value by the definition: every next place, every outcome."""
    if left == 0:
        return world.entropy(found[0], seen)
    return min(first(world, found, seen, left, place) for place in range(9))


def first(world: Enumerated, found: list[int], seen: list[int], left: int, place: int) -> float:
    """The same with the next place given."""
    outcomes = {tuple(world.consistent(n, [*seen, place])) for n in found}
    return sum(len(o) * best(world, list(o), [*seen, place], left - 1) for o in outcomes) / len(found)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_optimal_policy_is_that_of_exhaustive_search(steps: int) -> None:
    world = Enumerated(count=14, seed=4)
    found = optimal_epe(enumeration(world), steps)
    expected = [first(world, list(range(14)), [], steps, place) for place in range(9)]
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_optimal_is_below_greedy_and_greedy_below_the_fixed_order(seed: int, steps: int) -> None:
    world = Enumerated(count=40, classes=5, seed=seed)
    exact = enumeration(world)
    every = torch.arange(len(exact))
    optimal = optimal_epe(exact, steps).min()
    greedy = exact_greedy(exact, every, steps).entropy[:, steps].mean()
    fixed = exact_along(exact, every, exact_fixed(exact, steps).expand(40, -1)).entropy[:, steps].mean()
    random = exact_random(exact, every, steps, seed=0).entropy[:, steps].mean()
    assert optimal <= greedy + 1e-12
    assert optimal <= fixed + 1e-12
    if steps < 3:  # later nothing says so of a greedy choice
        assert greedy <= fixed + 1e-12
    assert greedy < random


def test_the_best_next_place_is_not_always_the_greedy_one(finite: Enumeration) -> None:
    start = time.process_time()
    values = optimal_epe(finite, 2)
    assert time.process_time() - start < 5
    designs = exact_greedy(finite, torch.arange(len(finite)), 2)
    greedy = designs.entropy[:, 2].mean().item()
    assert values.min() < greedy - 0.05
    assert values[designs.places[0, 0]].item() == pytest.approx(greedy)  # the last step is greedy either way
    assert values.min().item() == pytest.approx(0.94, abs=0.01)


def test_in_the_finite_set_it_pays_to_adapt(finite: Enumeration, some: Tensor) -> None:
    greedy = exact_greedy(finite, some, 5).entropy.mean(0)
    fixed = exact_along(finite, some, exact_fixed(finite, 5).expand(len(some), -1)).entropy.mean(0)
    random = exact_random(finite, some, 5, seed=0).entropy.mean(0)
    assert greedy[0].item() == pytest.approx(math.log(10))
    assert (greedy.diff() < 0).all() and greedy[5] > 0
    assert (random[2:] - greedy[2:]).min() > 0.5
    assert (fixed[2:] - greedy[2:]).min() > 0.4
    assert (random[1:] - fixed[1:]).min() > 0.1


def test_no_place_alone_tells_the_class(finite: Enumeration) -> None:
    assert optimal_epe(finite, 1).min() > 1.9


def test_two_hundred_histories_take_seconds(finite: Enumeration, some: Tensor) -> None:
    start = time.process_time()
    exact_random(finite, some[:200], 5, seed=3)
    assert time.process_time() - start < 4


def test_locations_are_found_among_the_places() -> None:
    world = Enumerated()
    exact = Enumeration(world.split.images, world.split.labels, GEOMETRY, PLACES[[7, 2, 5]])
    assert exact.index(PLACES[[5, 5, 7]].view(3, 1, 3)).tolist() == [[2], [2], [0]]
    assert exact.epe(torch.ones(1, 24, dtype=torch.bool))[0].tolist() == pytest.approx(
        [world.epe(0, [])[place] for place in (7, 2, 5)]
    )
    with pytest.raises(SettingsError, match=r"expected locations among the 3 places, found \[0, 0, 4\]"):
        exact.index(torch.tensor([[8, 4, 4], [0, 0, 4]]))


def test_the_bank_holds_the_templates() -> None:
    world = Enumerated()
    bank = enumeration(world).bank
    assert torch.equal(bank.images, world.split.images)
    assert bank.labels.tolist() == world.labels.tolist()
    assert bank.ids.tolist() == list(range(24))
    assert len(bank.fingerprint) == 64


def test_what_cannot_be_is_refused() -> None:
    exact = enumeration(Enumerated())
    with pytest.raises(SettingsError, match="expected as many labels as templates, found 3 for 24"):
        Enumeration(exact.images, exact.labels[:3], GEOMETRY)
    with pytest.raises(SettingsError, match="expected histories of the templates"):
        exact.epe(torch.zeros(1, 24, dtype=torch.bool))
    with pytest.raises(SettingsError, match="expected at most 9 glimpses, found 10"):
        exact_greedy(exact, torch.arange(2), 10)
