"""The weights of a design are the best of all that may be chosen, step by step."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from boed_tiny import Enumerated, exact_approximations
from torch import Tensor

import boed.search.adaptivity
from boed.approximations import Approximations
from boed.combination import Combination
from boed.estimators.bank import Bank
from boed.estimators.calibration import Calibration, calibration_of
from boed.search.adaptivity import affordable, estimate_adaptivity, sample
from boed.search.designer import Designer, History
from boed.search.shrinkage import choose_weight, shrunk


def own_map(learned: Approximations, rows: Tensor, chosen: list[Tensor]) -> Tensor:
    """(B, L) of images of the bank that do not complete themselves, after looking at `chosen`."""
    excluded = learned.versions(learned.bank, rows)
    history = History(Designer(learned), learned.bank, rows, seed=7, excluded=excluded)
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


@torch.no_grad()
def followed(learned: Approximations, rows: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For every step both maps and the losses, going on from what the weight chooses."""
    average, chosen, found = Designer(learned).average, list[Tensor](), []
    for _ in range(learned.glimpses):
        seen = torch.stack(chosen, 1) if chosen else torch.zeros(len(rows), 0, dtype=torch.int64)
        common = average(seen).scatter(1, seen, torch.inf)
        own = own_map(learned, rows, chosen) if chosen else common
        loss, others = realised(learned, rows, chosen), len(learned.bank) - 1
        beaten = common + (common - loss) / others if chosen else common  # the average over the others
        found.append((beaten, own, loss))
        chosen.append(shrunk(common, own, choose_weight(*found[-1])).argmin(1))
    return found


@pytest.mark.parametrize("images", [30, 168])
def test_weights_follow_from_the_maps_along_their_own_histories(
    pointer_fit: Approximations, images: int
) -> None:
    found = estimate_adaptivity(pointer_fit, 7, images=images)
    steps = followed(pointer_fit, sample(len(pointer_fit.bank), images))
    assert found.weights == tuple(choose_weight(*maps) for maps in steps)
    assert any(found.weights) and found.calibrations[0] == Calibration()
    for read, weight, (average, own, losses) in zip(found.calibrations, found.weights, steps, strict=True):
        expected = calibration_of(shrunk(average, own, weight), losses, torch.zeros(len(own)))
        assert read == Calibration() or read.contrast == pytest.approx(expected.contrast)


@torch.no_grad()
def test_what_is_read_is_realised_on_average(pointer_fit: Approximations) -> None:
    """Of the images that calibrate, at the places that are chosen; the first map is the average as it is."""
    rows = sample(len(pointer_fit.bank), 168)
    found = estimate_adaptivity(pointer_fit, 7, images=168)
    excluded = pointer_fit.versions(pointer_fit.bank, rows)
    history = History(Designer(pointer_fit), pointer_fit.bank, rows, seed=7, excluded=excluded)
    chosen = list[Tensor]()
    for weight, read in zip(found.weights, found.calibrations, strict=True):
        losses = realised(pointer_fit, rows, chosen)
        places, maps = history.choose(weight, read)
        predicted, true = (part.gather(1, places[:, None]).mean() for part in (maps, losses))
        assert float(predicted) == pytest.approx(float(true), abs=0.05)  # no value is below 0
        history.look(places)
        chosen.append(places)


@torch.no_grad()
@pytest.mark.parametrize("score", ["entropy", "information"])
def test_a_first_map_of_entropies_is_read_as_cross_entropies(pointer_fit: Approximations, score: str) -> None:
    learned = replace(pointer_fit, combination=Combination(score=score))
    found = estimate_adaptivity(learned, 7, images=168)
    rows = sample(len(learned.bank), 168)
    history = History(Designer(learned), learned.bank, rows, seed=7)
    places, maps = history.choose(0.0, found.calibrations[0])
    predicted, true = (part.gather(1, places[:, None]).mean() for part in (maps, realised(learned, rows, [])))
    assert found.calibrations[0] != Calibration()
    assert float(predicted) == pytest.approx(float(true), abs=0.01)


def test_what_was_chosen_before_does_not_matter(pointer_fit: Approximations) -> None:
    changed = replace(pointer_fit, weights=(1.0, 0.3, 0.0), calibrations=(Calibration(1.0, 2.0, 3.0),) * 3)
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

    def noise(self: History) -> Tensor:
        if self.count == 0:
            return self.average_map()
        drawn = 1000 * torch.rand(self.seen.shape, generator=generator, dtype=torch.float64)
        return drawn.masked_fill(self.seen, torch.inf)

    monkeypatch.setattr(History, "own_map", noise)
    assert estimate_adaptivity(pointer_fit, 7).weights == (0.0, 0.0, 0.0)


def test_where_it_pays_to_adapt_the_weight_is_positive(pointer_fit: Approximations) -> None:
    """The place that a pointer points at is best; by weight 0 half of the images would go elsewhere."""
    average, own, losses = followed(pointer_fit, sample(len(pointer_fit.bank), 60))[1]
    fixed, adaptive = (losses.gather(1, each.argmin(1, keepdim=True)).mean() for each in (average, own))
    assert adaptive < fixed - 0.1
    assert estimate_adaptivity(pointer_fit, 7, images=60).weights[1] > 0


@pytest.mark.parametrize(("count", "wanted"), [(10, 10), (10, 3), (800, 800), (801, 800), (7, 100), (1, 1)])
def test_a_sample_is_spread_evenly(count: int, wanted: int) -> None:
    found = sample(count, wanted)
    assert found[0] == 0 and found[-1] <= count - 1 and len(found) == min(count, wanted)
    gaps = found.diff().tolist()
    assert not gaps or (min(gaps) >= 1 and max(gaps) - min(gaps) <= 1 and found[-1] == count - 1)


def test_fewer_images_where_a_map_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boed.search.adaptivity, "FEW_IMAGES", 5)
    learned = exact_approximations(Enumerated())
    assert affordable(learned, 400) == 400
    made = replace(learned, generator=object())
    assert affordable(made, 400) == 5 and affordable(made, 3) == 3
    assert affordable(replace(made, estimator=object()), 400) == 400  # one pass of a network
    monkeypatch.setattr(Bank, "kept", False)
    assert affordable(learned, 400) == 5
