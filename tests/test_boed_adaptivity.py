"""The weights and sample sizes of a design are the best of all that may be chosen, step by step."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from boed_tiny import Enumerated, exact_approximations
from torch import Tensor

import boed.search.adaptivity
from boed.approximations import TARGETS, Approximations
from boed.combination import Combination
from boed.estimators.amortised import AmortisedEstimator
from boed.estimators.bank import Bank
from boed.search.adaptivity import affordable, estimate_adaptivity, sample
from boed.search.designer import Designer, History
from boed.search.shrinkage import WEIGHTS, shrunk


def own_maps(learned: Approximations, rows: Tensor, chosen: list[Tensor], targets: list[float]) -> Tensor:
    """(B, L) of images of the bank that do not complete themselves, after looking at `chosen`."""
    targets = [*targets, *[TARGETS[0]] * learned.glimpses][: learned.glimpses]
    designer = Designer(replace(learned, targets=tuple(targets)))
    history = History(designer, learned.bank, rows, seed=7, excluded=rows)
    for places in chosen:
        history.look(places)
    return history.own_map()


@torch.no_grad()
def realised(learned: Approximations, rows: Tensor, chosen: list[Tensor]) -> Tensor:
    """(B, L) of -log q(label) after the places `chosen` and one more, each glimpse embedded anew."""
    columns = []
    for place in range(len(learned.places)):
        looked = torch.stack([*chosen, torch.full_like(rows, place)], 1)
        glimpses = learned.geometry.retina()(learned.bank.images, rows, learned.places[looked])
        centres = learned.geometry.centres(learned.places[looked])
        logits = learned.q.logits(learned.q.embed(glimpses, centres).sum(1), looked.shape[1])
        columns.append(-logits.log_softmax(1).gather(1, learned.bank.labels[rows, None])[:, 0])
    return torch.stack(columns, 1)


def beats(losses: Tensor, fixed: Tensor) -> bool:
    """Whether the mean is smaller by more than two standard errors of the paired difference."""
    gains = (fixed - losses).tolist()
    mean = sum(gains) / len(gains)
    error = (sum((gain - mean) ** 2 for gain in gains) / len(gains) ** 2) ** 0.5
    return mean > 2 * error


@torch.no_grad()
def brute_force(learned: Approximations, rows: Tensor) -> list[dict[tuple[float, float], float]]:
    """For every step the mean loss of every (weight, target) that is proven, going on from the best."""
    average, chosen, targets, found = Designer(learned).average, list[Tensor](), list[float](), []
    fixed = torch.empty(0)
    for step in range(learned.glimpses):
        seen = torch.stack(chosen, 1) if chosen else torch.zeros(len(rows), 0, dtype=torch.int64)
        common = average(seen).scatter(1, seen, torch.inf)
        loss, losses = realised(learned, rows, chosen), {}
        for weight, target in product(WEIGHTS, TARGETS if step else TARGETS[1:2]):
            own = own_maps(learned, rows, chosen, [*targets, target]) if step else common
            places = shrunk(common, own, weight).argmin(1)
            lost = loss.gather(1, places[:, None])[:, 0].double()
            fixed = lost if weight == 0 else fixed
            if weight == 0 or beats(lost, fixed):
                losses[weight, target] = float(lost.mean())
        found.append(losses)
        weight, target = min(losses, key=lambda pair: (losses[pair], *pair))
        targets += [target] * (step > 0)
        own = own_maps(learned, rows, chosen, targets) if step else common
        chosen.append(shrunk(common, own, weight).argmin(1))
    return found


@pytest.mark.parametrize("best", TARGETS)
def test_of_two_sample_sizes_the_one_with_the_smaller_loss_is_taken(
    pointer_fit: Approximations, monkeypatch: pytest.MonkeyPatch, best: float
) -> None:
    """Losses rise with the number of the place; the average map leads to the last, own maps to 0 or 1."""
    places, rows = len(pointer_fit.places), len(sample(len(pointer_fit.bank), 30))

    def towards(place: int) -> torch.Tensor:
        return torch.ones(rows, places, dtype=torch.float64).index_fill(1, torch.tensor([place]), -100.0)

    losses = torch.arange(places, dtype=torch.float64).expand(rows, -1)
    monkeypatch.setattr("boed.search.adaptivity._realised", lambda *_: losses)
    monkeypatch.setattr(History, "average_map", lambda _: towards(places - 1))
    maps = {target: towards(int(target != best)) for target in TARGETS}
    monkeypatch.setattr(History, "own_maps", lambda *_: maps)
    found = estimate_adaptivity(pointer_fit, 7, images=30)
    assert all(weight > 0 for weight in found.weights) and set(found.targets) == {best}


@pytest.mark.parametrize("images", [30, 168])
def test_the_best_weight_and_sample_size_are_taken_at_every_step(
    pointer_fit: Approximations, images: int
) -> None:
    rows = sample(len(pointer_fit.bank), images)
    found = estimate_adaptivity(pointer_fit, 7, images=images)
    steps = brute_force(pointer_fit, rows)
    assert len(found.weights) == len(found.targets) == 3
    for step, losses in enumerate(steps):
        best = min(losses, key=lambda pair: (float(f"{losses[pair]:.5g}"), *pair))  # equal but for rounding
        assert found.weights[step] == best[0]
        if step:
            assert found.targets[step - 1] == best[1]  # behind the map for glimpse `step` + 1
    assert any(found.weights)
    assert found.targets[-1] == found.targets[-2]  # of the last glimpse nothing depends on it


def test_what_was_chosen_before_does_not_matter(pointer_fit: Approximations) -> None:
    changed = replace(pointer_fit, weights=(1.0, 0.3, 0.0), targets=(80.0, 80.0, 80.0))
    one, other = (estimate_adaptivity(learned, 7, images=30) for learned in (pointer_fit, changed))
    assert one == other
    assert changed.weights == (1.0, 0.3, 0.0)


def test_the_completions_are_those_of_the_seed(
    pointer_fit: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds, made = list[int](), History.__init__

    def spied(self: History, *args: Any, seed: int, **options: Any) -> None:
        seeds.append(seed)
        made(self, *args, seed=seed, **options)

    monkeypatch.setattr(History, "__init__", spied)
    one, same = (estimate_adaptivity(pointer_fit, 7, images=30) for _ in (0, 1))
    assert seeds == [7, 7] and one == same


def test_own_maps_that_are_noise_get_no_weight(
    pointer_fit: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So large that any share of them decides; at the first step there is no map of one's own."""
    generator = torch.Generator().manual_seed(0)

    def noise(self: History, targets: Sequence[float]) -> dict[float, Tensor]:
        if self.count == 0:
            return {targets[0]: self.average_map()}
        drawn = 1000 * torch.rand(self.seen.shape, generator=generator, dtype=torch.float64)
        return {targets[0]: drawn.masked_fill(self.seen, torch.inf)}

    monkeypatch.setattr(History, "own_maps", noise)
    assert estimate_adaptivity(pointer_fit, 7).weights == (0.0, 0.0, 0.0)


def test_where_it_pays_to_adapt_the_weight_is_positive(pointer_fit: Approximations) -> None:
    """The place that a pointer points at is best; by weight 0 half of the images would go elsewhere."""
    losses = brute_force(pointer_fit, sample(len(pointer_fit.bank), 60))[1]
    fixed = min(loss for (weight, _), loss in losses.items() if weight == 0)
    assert min(losses.values()) < fixed - 0.1
    assert estimate_adaptivity(pointer_fit, 7, images=60).weights[1] > 0


def test_sample_sizes_are_chosen_for_retrieval_alone(pointer_fit: Approximations) -> None:
    network = AmortisedEstimator((1, 4, 4), 9, 3, 8).eval()
    learned = replace(pointer_fit, estimator=network, combination=Combination(estimator="amortised"))
    assert set(estimate_adaptivity(learned, 7, images=20).targets) == {TARGETS[1]}


@pytest.mark.parametrize(("count", "wanted"), [(10, 10), (10, 3), (800, 800), (801, 800), (7, 100), (1, 1)])
def test_a_sample_is_spread_evenly(count: int, wanted: int) -> None:
    found = sample(count, wanted)
    assert found[0] == 0 and found[-1] < count and len(found) <= max(wanted, 1)
    assert len(found.diff().unique()) <= 1 and 2 * len(found) >= min(count, wanted)
    assert count - found[-1] <= max(1, -(-count // wanted))


def test_fewer_images_where_a_map_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boed.search.adaptivity, "FEW_IMAGES", 5)
    learned = exact_approximations(Enumerated())
    assert affordable(learned, 400) == 400
    made = replace(learned, generator=object())
    assert affordable(made, 400) == 5 and affordable(made, 3) == 3
    assert affordable(replace(made, estimator=object()), 400) == 400  # one pass of a network
    monkeypatch.setattr(Bank, "kept", False)
    assert affordable(learned, 400) == 5
