"""Posteriors whose statistics combine by a maximum, alone or beside a sum; glimpses that cover an image."""

import copy
from dataclasses import replace

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated
from torch import Tensor

from boed.estimators.bank import Bank
from boed.posteriors.glimpse_max import GlimpseMaxPosterior
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from boed.posteriors.local_features import LocalFeatures
from boed.posteriors.posterior import Posterior
from boed.search.covering import covering
from boed.search.shrinkage import AverageMaps
from data.geometry import Geometry

SHAPE = (1, 4, 4)
KINDS = {"sum": (0, 0), "max": (8, 0), "sum and max": (8, 5)}


def posterior(kind: str, glimpses: int = 4) -> Posterior:
    torch.manual_seed(0)
    features, width = KINDS[kind]
    if not features:
        return GlimpseSetPosterior(SHAPE, 3, glimpses, 6).eval()
    q = GlimpseMaxPosterior(SHAPE, 3, glimpses, features, width).eval()
    for layer in q.modules():  # as if trained: what is subtracted makes features that are silent at times
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -0.1, 0.1)
    return q


@pytest.fixture(params=KINDS)
def q(request: pytest.FixtureRequest) -> Posterior:
    return posterior(request.param)


def seen(count: int = 5, glimpses: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    y = torch.rand(count, glimpses, *SHAPE, generator=generator)
    return y, 2 * torch.rand(count, glimpses, 2, generator=generator) - 1


@torch.no_grad()
def test_combining_is_associative_in_any_order_and_starts_from_nothing(q: Posterior) -> None:
    each = q.embed(*seen())
    known = torch.zeros_like(each[:, 0])
    for t in range(each.shape[1]):
        known = q.combine(known, each[:, t])
        torch.testing.assert_close(q.prefixes(each)[:, t], known)
        torch.testing.assert_close(q.combined(each[:, : t + 1], 1), known)
    halves = q.combine(q.combined(each[:, :2], 1), q.combined(each[:, 2:], 1))
    torch.testing.assert_close(halves, known)
    torch.testing.assert_close(q.combined(each.flip(1), 1), known)


@torch.no_grad()
def test_one_combination_broadcasts_and_is_written_where_it_is_asked_for(q: Posterior) -> None:
    each = q.embed(*seen())
    candidates, known = each.clone(), each[:, 0]
    expected = torch.stack([q.combine(known, each[:, t]) for t in range(each.shape[1])], 1)
    assert torch.equal(q.combine(known[:, None], candidates), expected)
    assert torch.equal(candidates, each)
    assert q.combine_(candidates, known[:, None]) is candidates
    assert torch.equal(candidates, expected)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["max", "sum and max"])
def test_one_glimpse_among_many_is_heard(kind: str) -> None:
    """Glimpses that show nothing leave what a maximum knows; seen twice is seen once."""
    q = posterior(kind)
    y, centres = seen(1, 4)
    added = q.added or 0
    one = q.combined(q.embed(y, centres), 1)[..., added:]
    again = q.combined(q.embed(y.repeat(1, 9, 1, 1, 1), centres.repeat(1, 9, 1)), 1)[..., added:]
    assert torch.equal(one, again) and bool((one >= 0).all())


@torch.no_grad()
def test_where_a_glimpse_was_does_not_matter_to_a_maximum() -> None:
    y, centres = seen()
    q, both = posterior("max"), posterior("sum and max")
    assert torch.equal(q.embed(y, centres), q.embed(y, -centres))
    assert not torch.equal(both.embed(y, centres), both.embed(y, -centres))


@torch.no_grad()
@pytest.mark.parametrize("size", [2, 3, 5, 8, 16])
def test_features_of_any_glimpse_size(size: int) -> None:
    features = LocalFeatures((2, size, size), 7).eval()
    y = torch.rand(3, 2, 2, size, size)
    found = features(y)
    assert found.shape == (3, 2, 7)
    torch.testing.assert_close(found[1, 1], features(y[1:2, 1:2])[0, 0])


@torch.no_grad()
def test_all_of_the_search_combines_as_the_posterior_does(q: Posterior) -> None:
    """Average maps and scores after a glimpse, against q on the glimpses themselves."""
    world = Enumerated(12, classes=3)
    q = copy.deepcopy(q)
    bank = Bank(q, world.split, PLACES, GEOMETRY)
    looked = torch.tensor([2, 7])
    centres = GEOMETRY.grid().normalised()

    def loss(row: int, places: list[int]) -> float:
        glimpses = GEOMETRY.retina()(world.split.images, torch.tensor([row]), PLACES[places][None])
        logits = q.logits(q.combined(q.embed(glimpses, centres[places][None]), 1), len(places))
        return -float(logits.log_softmax(-1)[0, world.split.labels[row]])

    expected = torch.tensor([[loss(row, [2, 7, place]) for place in range(9)] for row in range(12)])
    rows = torch.arange(12)
    totals = q.combined(bank.statistics(rows)[:, looked], 1)
    torch.testing.assert_close(bank.scores_after(rows, totals, 3, "cross-entropy"), expected)
    average = AverageMaps(bank, "cross-entropy")(looked[None])[0].float()
    torch.testing.assert_close(average, expected.mean(0))


@pytest.mark.parametrize(("image", "sides"), [((40, 40), ()), ((40, 60), (8, 16, 60)), ((8, 8), ())])
def test_covering_glimpses_lie_inside_and_leave_nothing_out(
    image: tuple[int, int], sides: tuple[int, ...]
) -> None:
    geometry = Geometry(*image, 1, glimpse_size=8, sides=sides)
    generator, met = torch.Generator().manual_seed(0), set[int]()
    for _ in range(12):
        places = covering(geometry, generator)
        side = int(places[0, 0, 2])
        met.add(side)
        assert bool((places[..., 2] == side).all()) and bool((places[..., :2] >= 0).all())
        assert bool((places[..., :2] + side <= torch.tensor(image)).all())
        shown = torch.zeros(image)
        for row, col, _ in places.flatten(0, 1).tolist():
            shown[row : row + side, col : col + side] += 1
        assert bool((shown > 0).all())
    assert met == set(sides or (8,)) - {60}


def test_covering_draws_from_its_generator_alone() -> None:
    geometry = replace(GEOMETRY)
    one, same, other = (covering(geometry, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
