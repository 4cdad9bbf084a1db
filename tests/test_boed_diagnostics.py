"""What is said about a search is what a second look finds."""

from dataclasses import replace

import pytest
import torch
from boed_tiny import Enumerated, exact_approximations, pointer_split
from torch import Tensor

from boed.approximations import Approximations
from boed.combination import Combination
from boed.completions.retrieval import RetrievalCompletion
from boed.estimators.amortised import AmortisedEstimator
from boed.estimators.bank_belief import BankBelief
from boed.estimators.calibration import Calibration
from boed.generation import describe
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from boed.search.designer import Designer, History, design_sequences
from boed.search.diagnostics import REPORTED, coarse_agreement, place_numbers, sample_sizes
from boed.settings import FittedSettings
from data.dataset import Split
from data.geometry import Geometry

GEOMETRY, STEPS = Geometry(24, 24, 1, glimpse_size=4, per_axis=11), 4
ROWS = torch.arange(24)
WEIGHTS = (0.0, 0.3, 1.0, 0.6)


def enlarged(split: Split) -> Split:
    """Twice as wide and high."""
    return replace(split, images=split.images.repeat_interleave(2, 1).repeat_interleave(2, 2))


SPLIT = enlarged(pointer_split(24, 1))


@pytest.fixture(scope="module")
def learned() -> Approximations:
    """A q that was never trained, on a fine grid."""
    torch.manual_seed(0)
    q = GlimpseSetPosterior((1, 4, 4), 4, STEPS, 8).eval()
    q.head.linear.weight.data.mul_(8)
    places = GEOMETRY.grid().locations
    bank = enlarged(pointer_split(60, 0))
    return Approximations(
        q,
        bank,
        places,
        GEOMETRY,
        FittedSettings(glimpses=STEPS),
        retrieval=RetrievalCompletion(bank, GEOMETRY.retina(), 12.0),
        weights=WEIGHTS,
    )


def designed(designer: Designer) -> Tensor:
    return design_sequences(designer, SPLIT, ROWS, STEPS, designer.weights, seed=0).locations


def test_places_are_numbered_as_in_the_codebook(learned: Approximations) -> None:
    designer, numbers = Designer(learned), torch.tensor([[3, 120], [7, 0]])
    assert torch.equal(place_numbers(designer, learned.places[numbers]), numbers)


@torch.no_grad()
def test_sample_sizes_are_those_of_the_weights(learned: Approximations) -> None:
    """Beside what retrieval was to have, before classes got their shares; the last glimpse needs none."""
    designer = Designer(learned)
    locations = designed(designer)
    found = sample_sizes(designer, SPLIT, ROWS, locations, seed=0)
    assert [target for _, target in found] == [12.0] * (STEPS - 1)
    history = History(designer, SPLIT, ROWS, seed=0)
    for step, (size, _) in enumerate(found):
        history.look(place_numbers(designer, locations[:, step]))
        assert isinstance(history.belief, BankBelief)
        weights = history.belief.weights(history.total).exp()
        assert size == pytest.approx(float((1 / weights.square().sum(1)).mean()))


def test_a_sample_size_that_cannot_be_met_is_told_as_it_is() -> None:
    """Completions that agree with the glimpses are as many as there are, whatever the target."""
    world = Enumerated()
    designer = Designer(exact_approximations(world))
    places = torch.tensor([[4, 0, 5]]).expand(24, -1)
    locations = designer.learned.places[places]
    found = sample_sizes(designer, world.split, ROWS, locations, seed=0)
    for step, (size, target) in enumerate(found):
        seen = places[0, : step + 1].tolist()
        consistent = [len(world.consistent(n, seen)) for n in range(24)]
        assert size == pytest.approx(sum(consistent) / 24, rel=1e-3) and target == 1.0


def test_an_estimator_without_weights_has_no_sample_sizes(learned: Approximations) -> None:
    estimator = AmortisedEstimator(learned.geometry, learned.places, STEPS, channels=8).eval()
    combination = Combination(estimator="amortised")
    designer = Designer(replace(learned, estimator=estimator, combination=combination))
    assert sample_sizes(designer, SPLIT, ROWS, designed(designer), seed=0) == []
    assert describe(designer, SPLIT, SPLIT.ids, designed(designer), seed=0) == []


@pytest.mark.parametrize("shrink", [True, False])
@torch.no_grad()
def test_agreement_is_a_count_of_equal_choices(learned: Approximations, shrink: bool) -> None:
    """Along the histories of the coarse search, step by step and image by image."""
    weights = WEIGHTS if shrink else (1.0,) * STEPS
    coarse, full = (Designer(learned, coarse=c, shrink=shrink) for c in (True, False))
    locations = designed(coarse)
    found = coarse_agreement(coarse, SPLIT, ROWS, locations, seed=0)
    same = []
    for row in ROWS.tolist():
        one = History(full, SPLIT, torch.tensor([row]), seed=0)
        for step in range(STEPS):
            place = place_numbers(full, locations[row, step])
            if step:
                same.append(int(one.score_map(weights[step]).argmin()) == int(place))
            one.look(place[None])
    assert len(same) == 24 * (STEPS - 1) and 0 < sum(same) < len(same)
    assert found == pytest.approx(sum(same) / len(same))


def test_a_search_of_one_glimpse_agrees(learned: Approximations) -> None:
    designer = Designer(learned, coarse=True)
    assert coarse_agreement(designer, SPLIT, ROWS, designed(designer)[:, :1], seed=0) == 1.0


@pytest.mark.parametrize("coarse", [False, True])
def test_lines_have_the_numbers(learned: Approximations, coarse: bool) -> None:
    designer = Designer(learned, coarse=coarse)
    locations = designed(designer)
    lines = describe(designer, SPLIT, SPLIT.ids, locations, seed=0)
    assert len(lines) == 1 + coarse
    sizes = sample_sizes(designer, SPLIT, ROWS, locations, seed=0)
    assert lines[0].startswith("effective sample size")
    assert lines[0].endswith(": " + ", ".join(f"{size:.0f} (12)" for size, _ in sizes))
    if coarse:
        share = coarse_agreement(designer, SPLIT, ROWS, locations, seed=0)
        assert f"{100 * share:.1f} %" in lines[1]


def test_lines_are_of_the_images_that_are_named(learned: Approximations) -> None:
    """In a split with others between them, and of at most so many."""
    designer = Designer(learned, coarse=True)
    locations, some = designed(designer), torch.tensor([2, 3, 11, 20])
    part = describe(designer, SPLIT.take(some), SPLIT.ids[some], locations[some], seed=0)
    assert describe(designer, SPLIT, SPLIT.ids[some], locations[some], seed=0) == part
    assert part != describe(designer, SPLIT, SPLIT.ids, locations, seed=0)
    assert len(ROWS) < REPORTED


def test_prices_are_in_nats_where_a_calibration_reads_the_map(learned: Approximations) -> None:
    """A coarse search that refines every place agrees with the whole one, whatever the contrast."""
    steps = (Calibration(contrast=0.1),) * STEPS
    priced = replace(learned, calibrations=steps, weights=(0.0, 1.0, 1.0, 1.0))
    full = Designer(priced)
    full.cost = torch.linspace(0, 0.3, len(learned.places), dtype=torch.float64)
    found = design_sequences(full, SPLIT, ROWS, STEPS, full.weights, full.calibrations, seed=0).locations
    assert coarse_agreement(full, SPLIT, ROWS, found, seed=0) == 1.0
    taken = []
    for factor in (1.0, 10.0):  # maps a tenth as high, or costs ten times as high
        history = History(Designer(priced, coarse=True), SPLIT, ROWS, seed=0)
        history.designer.cost = factor * full.cost
        history.look(place_numbers(full, found[:, 0]))
        read = steps[1] if factor == 1 else Calibration()
        taken.append(history.choose(1.0, read)[1].isfinite())  # which places were worth a look
    assert torch.equal(*taken) and 0 < taken[0].sum() < taken[0].numel()
