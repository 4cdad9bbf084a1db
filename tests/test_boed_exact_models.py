"""q and r in their exact form: the counts of `Enumeration`, whatever asks for them."""

import copy

import pyro
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated
from torch import Tensor
from torch.distributions import Normal

from boed.completions.exact import ExactCompletion
from boed.completions.retrieval import RetrievalCompletion, squared_distances
from boed.enumeration.exact import Enumeration, exact_greedy, exact_random
from boed.estimators.epe import entropy
from boed.posteriors.exact import ExactPosterior
from boed.posteriors.posterior import Posterior, negative_log_posterior
from data.finite import load_finite, template_of, templates
from data.geometry import Geometry
from data.grey import grey_levels

CENTRES = GEOMETRY.grid().normalised()
HISTORIES = [[5], [4], [3, 8], [6, 1, 2]]


@pytest.fixture(scope="module")
def world() -> Enumerated:
    return Enumerated(seed=3)


@pytest.fixture(scope="module")
def exact(world: Enumerated) -> Enumeration:
    return Enumeration(world.split.images, world.split.labels, GEOMETRY)


@pytest.fixture(scope="module")
def finite() -> Enumeration:
    return Enumeration(*templates(), load_finite().geometry)


def glimpses_of(exact: Enumeration, rows: Tensor, places: Tensor) -> Tensor:
    """(B, t, S*C, G, G) for places (B, t)."""
    return exact.geometry.retina()(exact.images, rows, exact.places[places])


@pytest.mark.parametrize("history", HISTORIES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_posterior_is_that_of_the_counts(
    world: Enumerated, history: list[int], dtype: torch.dtype
) -> None:
    q = ExactPosterior(Enumeration(world.split.images, world.split.labels, GEOMETRY), 3).to(dtype)
    places = torch.tensor(history).expand(24, -1)
    glimpses = glimpses_of(
        Enumeration(world.split.images, world.split.labels, GEOMETRY), torch.arange(24), places
    )
    total = q.embed(glimpses.to(dtype), CENTRES[places].to(dtype)).sum(1)
    assert total.shape == (24, 24) and total.dtype == dtype
    found = q.logits(total, len(history)).softmax(-1)
    for image in range(24):
        assert found[image].tolist() == pytest.approx(world.posterior(image, history), abs=1e-6)


def test_the_posterior_of_the_finite_set_is_exact_in_single_precision(finite: Enumeration) -> None:
    split = load_finite()["test"]
    rows = torch.arange(40)
    designs = exact_random(finite, template_of(split.ids[rows]), 5, seed=0)
    q = ExactPosterior(finite, 5)
    glimpses = finite.geometry.retina()(split.images, rows, designs.locations)
    totals = q.embed(glimpses, finite.geometry.grid().normalised()[designs.places]).cumsum(1)
    found = entropy(q.logits(totals, torch.arange(1, 6)))
    assert totals.dtype == torch.float32
    assert torch.allclose(found.double(), designs.entropy[:, 1:], atol=1e-5)


@pytest.mark.parametrize("scales", [1, 2])
def test_the_statistic_is_a_log_likelihood(scales: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images, other = (
        torch.randint(256, (n, 12, 12, 2), generator=generator, dtype=torch.uint8) for n in (10, 4)
    )
    geometry = Geometry(12, 12, 2, glimpse_size=4, scales=scales, per_axis=3)
    q = ExactPosterior(Enumeration(images, torch.arange(10), geometry), 3, sigma=20.0)
    retina, places = geometry.retina(), geometry.grid().locations
    glimpses = retina(other, torch.arange(4), places.expand(4, -1, -1)).double()
    means = retina(images, torch.arange(10), places.expand(10, -1, -1)).double()
    found = q.embed(glimpses, geometry.grid().normalised().expand(4, -1, -1))  # (4, L, M)
    terms = Normal(means, 20 / 255).log_prob(glimpses[:, None]).flatten(3).sum(-1)  # (4, M, L)
    constant = Normal(means, 20 / 255).log_prob(means).flatten(2).sum(-1)
    assert torch.allclose(found.movedim(-1, 1), terms - constant, rtol=1e-5)


def test_what_no_template_shows_has_the_posterior_of_the_nearest(exact: Enumeration) -> None:
    q = ExactPosterior(exact, 1)
    glimpse = glimpses_of(exact, torch.tensor([5]), torch.tensor([[0]]))[:, 0]
    seen = q.logits(q.embed(glimpse, CENTRES[:1]), 1).softmax(-1)
    near = q.logits(q.embed(glimpse + 3 / 255, CENTRES[:1]), 1)
    assert near.isfinite().all()
    assert torch.allclose(near.softmax(-1), seen, atol=1e-5)


def test_the_place_is_the_nearest_and_any_shape_will_do(exact: Enumeration) -> None:
    q = ExactPosterior(exact, 3)
    glimpses = glimpses_of(exact, torch.arange(24), torch.arange(9).expand(24, -1))
    centres = CENTRES.expand(24, -1, -1)
    whole = q.embed(glimpses, centres)
    assert whole.shape == (24, 9, 24)
    assert torch.equal(q.embed(glimpses, centres + 0.05), whole)
    assert torch.equal(q.embed(glimpses[7, 3], centres[7, 3]), whole[7, 3])
    assert torch.equal(
        q.embed(glimpses.view(2, 12, 9, 1, 4, 4), centres.view(2, 12, 9, 2)).view_as(whole), whole
    )


def test_there_is_nothing_to_learn_to_save_or_to_calibrate(exact: Enumeration) -> None:
    q = ExactPosterior(exact, 3)
    assert isinstance(q, Posterior)
    assert not list(q.parameters())
    assert list(q.state_dict()) == ["temperature"]
    assert q.temperature.tolist() == [1.0] * 4
    assert {name for name, _ in q.named_buffers()} == {"temperature", "patterns", "codes", "centres"}
    moved = copy.deepcopy(q).to("meta")
    assert all(buffer.is_meta for buffer in moved.buffers())


def test_it_is_a_guide(exact: Enumeration, world: Enumerated) -> None:
    """Its training objective is the mean of -log p(label | history), here known."""
    q = ExactPosterior(exact, 2)
    places = torch.tensor([3, 8]).expand(24, -1)
    glimpses = glimpses_of(exact, torch.arange(24), places)
    assert pyro.poutine.trace(q).get_trace(glimpses, CENTRES[places]).nodes["label"]["value"].shape == (2, 24)
    loss = negative_log_posterior(q, glimpses, CENTRES[places], world.split.labels)
    expected = sum(world.entropy(image, history) for image in range(24) for history in ([3], [3, 8])) / 48
    assert loss.item() == pytest.approx(expected, abs=1e-5)  # over all images it is the mean entropy


@pytest.mark.parametrize("history", HISTORIES, ids=str)
def test_completions_are_the_consistent_templates(
    world: Enumerated, exact: Enumeration, history: list[int]
) -> None:
    r = ExactCompletion(exact.bank, GEOMETRY.retina())
    places = torch.tensor(history).expand(24, -1)
    glimpses = glimpses_of(exact, torch.arange(24), places)
    weights = r.consistent_weights(glimpses, PLACES[places])
    consistent = exact.consistent(exact.codes[torch.arange(24)[:, None], places], places)
    assert torch.allclose(weights, consistent / consistent.sum(1, keepdim=True).double(), atol=1e-12)
    levels = grey_levels(glimpses)  # of all glimpses together: squared distances add
    assert torch.equal(r.log_weights(squared_distances(levels, levels)).exp(), weights)


def test_histories_at_places_of_their_own(finite: Enumeration) -> None:
    rows = torch.arange(0, len(finite), 700)
    designs = exact_greedy(finite, rows, 3)
    r = ExactCompletion(finite.bank, finite.geometry.retina())
    weights = r.consistent_weights(glimpses_of(finite, rows, designs.places), designs.locations)
    consistent = finite.consistent(finite.codes[rows[:, None], designs.places], designs.places)
    assert torch.equal(weights > 0, consistent)
    assert torch.equal(weights.sum(1).round(decimals=12), torch.ones(len(rows), dtype=torch.float64))


def test_completions_are_drawn_with_their_labels(exact: Enumeration, world: Enumerated) -> None:
    """As many draws as make each consistent template equally frequent give the EPE with the exact q."""
    r, q = ExactCompletion(exact.bank, GEOMETRY.retina()), ExactPosterior(exact, 2)
    assert isinstance(r, RetrievalCompletion)
    place = torch.full((24, 1), 5)
    seen = glimpses_of(exact, torch.arange(24), place)
    weights = r.consistent_weights(seen, PLACES[place])
    bank = q.embed(
        glimpses_of(exact, torch.arange(24), torch.arange(9).expand(24, -1)), CENTRES.expand(24, -1, -1)
    )
    for image in range(24):
        count = len(world.consistent(image, [5])) * 3
        drawn = r.draw(weights[image : image + 1].log(), count, torch.tensor([0.5]))[0]
        assert sorted(set(drawn.tolist())) == world.consistent(image, [5])
        logits = q.logits(bank[image, 5] + bank[drawn], 2)  # (N, L, K)
        assert entropy(logits).mean(0).tolist() == pytest.approx(world.epe(image, [5]), abs=1e-5)
        assert torch.equal(r.bank.labels[drawn], torch.from_numpy(world.labels)[drawn])


def test_without_a_consistent_template_it_is_the_nearest_and_excluded_ones_stay_out(
    exact: Enumeration,
) -> None:
    r = ExactCompletion(exact.bank, GEOMETRY.retina())
    distances = torch.full((2, 24), 50.0, dtype=torch.float64)
    distances[:, 3], distances[:, 4], distances[:, 5] = 7, 7, 7.5
    distances[1, 4] = torch.inf
    weights = r.log_weights(distances).exp()
    assert weights[0, 3:6].tolist() == [0.5, 0.5, 0] and weights[1, 3:6].tolist() == [1, 0, 0]
    assert weights.sum(1).tolist() == [1, 1]
