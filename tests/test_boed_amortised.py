"""The amortised estimator against the conditional mean that it regresses, where that can be counted."""

from dataclasses import replace

import pytest
import torch
from amortised_tiny import IMAGES, STEPS, belief_of, own_map, small_world, totals_of, trained, untrained
from boed_tiny import GEOMETRY, PLACES, Enumerated, exact_approximations, some_of
from torch import Tensor

from boed.approximations import Approximations
from boed.combination import Combination
from boed.estimators.amortised import AmortisedEstimator
from boed.estimators.bank import Bank
from boed.search.designer import Designer, design_sequences
from data.errors import SettingsError
from data.geometry import Geometry


@pytest.fixture(scope="module")
def world() -> Enumerated:
    return small_world()


@pytest.fixture(scope="module")
def bank(world: Enumerated) -> Bank:
    return exact_approximations(world).embedded()


@pytest.fixture(scope="module")
def fitted(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> AmortisedEstimator:
    state = tmp_path_factory.mktemp("estimator") / "state.safetensors"
    return trained(bank, state, 400, estimator=untrained(16))


def test_regression_finds_the_conditional_mean_of_the_realised_loss(
    world: Enumerated, fitted: AmortisedEstimator
) -> None:
    """With an exact q that is the EPE: before the first glimpse, and after one where the policy looks."""
    rows = torch.arange(IMAGES)
    before = own_map(fitted, world.split, rows, torch.zeros(IMAGES, 0, dtype=torch.int64))
    expected = torch.tensor([world.epe(n, []) for n in range(IMAGES)])
    assert torch.equal(before, before[:1].expand_as(before))  # nothing tells the images apart
    assert (before - expected).square().mean().sqrt() < 0.03 < expected[0].std() / 2
    place = int(before[0].argmin())
    assert expected[0, place] == expected[0].min()
    after = own_map(fitted, world.split, rows, torch.full((IMAGES, 1), place))
    expected = torch.tensor([world.epe(n, [place]) for n in range(IMAGES)])
    free = torch.arange(9) != place
    assert (after - expected)[:, free].square().mean().sqrt() < 0.05
    assert (expected - expected.mean(0))[:, free].square().mean().sqrt() > 0.15  # images differ by more


def test_it_is_the_mean_and_not_the_loss_of_the_image(world: Enumerated, fitted: AmortisedEstimator) -> None:
    """Two images that look the same and have different labels lose differently: their maps are one."""
    place = 4  # shows the same in all images
    rows = torch.tensor([int((world.split.labels == label).nonzero()[0]) for label in (0, 1)])
    found = own_map(fitted, world.split, rows, torch.full((2, 1), place))
    assert torch.equal(found[0], found[1])


@torch.no_grad()
def test_what_is_pasted_adds_in_any_order(world: Enumerated) -> None:
    estimator, rows = untrained(glimpses=3), torch.arange(5)
    one, other = (
        own_map(estimator, world.split, rows, torch.tensor(places).expand(5, -1))
        for places in ([7, 1, 2], [2, 7, 1])
    )
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_mirrored_canvas_is_read_where_places_then_lie() -> None:
    """Of images that are their own mirror image the map of mirrored places is the mirrored map."""
    geometry = Geometry(32, 32, 1, glimpse_size=4, per_axis=8)
    places = geometry.grid().locations
    estimator = AmortisedEstimator(geometry, places, 2, channels=4).eval()
    estimator.gain.weight.normal_()
    seen = torch.rand(3, *estimator.canvas.shape)
    straight = estimator(seen, 1, torch.ones(3)).unflatten(1, (8, 8))
    mirrored = estimator(seen.flip(3), 1, torch.ones(3), mirrored=True).unflatten(1, (8, 8))
    torch.testing.assert_close(mirrored, straight.flip(2))


def test_maps_do_not_depend_on_the_images_beside(world: Enumerated, fitted: AmortisedEstimator) -> None:
    places = torch.arange(IMAGES)[:, None] % 9
    together = own_map(fitted, world.split, torch.arange(IMAGES), places)
    for row in range(IMAGES):
        alone = own_map(fitted, world.split, torch.tensor([row]), places[row : row + 1])
        assert torch.equal(alone[0].float(), together[row].float())


def test_designs_do_not_depend_on_the_images_beside(world: Enumerated, fitted: AmortisedEstimator) -> None:
    learned = replace(exact_of(world, fitted), weights=(0.0, 0.5))
    together, some = designs(learned, world, torch.arange(IMAGES)), torch.tensor([9, 2])
    alone = designs(learned, world, some)
    assert torch.equal(alone[0], together[0][some]) and torch.equal(alone[1], together[1][some])


def exact_of(world: Enumerated, estimator: AmortisedEstimator) -> Approximations:
    learned = exact_approximations(world, STEPS, Combination(estimator="amortised"))
    return replace(learned, estimator=estimator)


def designs(learned: Approximations, world: Enumerated, rows: Tensor) -> tuple[Tensor, Tensor]:
    found = design_sequences(Designer(learned), world.split, rows, STEPS, learned.weights, seed=0)
    return found.locations, found.epe_map.float()


def test_the_design_follows_the_map_of_the_network(world: Enumerated, fitted: AmortisedEstimator) -> None:
    """With an estimator this good its second place is nearly as good as the best."""
    learned = exact_of(world, fitted)
    found, rows = designs(learned, world, torch.arange(IMAGES)), torch.arange(IMAGES)
    chosen = GEOMETRY.grid().index(found[0])
    expected = own_map(fitted, world.split, rows, chosen[:, :1])
    assert torch.equal(expected.scatter(1, chosen[:, :1], torch.inf).float(), found[1][:, 1])
    for image in range(IMAGES):
        exact = torch.tensor(world.epe(image, chosen[image, :1].tolist()))
        exact[chosen[image, 0]] = torch.inf
        assert exact[chosen[image, 1]] < exact.min() + 0.1


def test_some_places_are_part_of_all(world: Enumerated, fitted: AmortisedEstimator) -> None:
    rows, wanted = torch.arange(5), some_of(5)
    belief = belief_of(fitted, world.split, rows, torch.full((5, 1), 2))
    totals = totals_of(belief, world.split, rows, torch.full((5, 1), 2))
    whole = belief.own_map(totals, 2)
    assert torch.equal(belief.own_map(totals, 2, wanted), whole.masked_fill(~wanted, torch.inf))


@pytest.mark.parametrize("count", range(STEPS))
def test_gradient_reaches_every_parameter(count: int) -> None:
    estimator = untrained()
    torch.nn.init.normal_(estimator.gain.weight)
    glimpses, places = torch.rand(6, 1, 4, 4), PLACES[torch.arange(6)]
    seen = estimator.canvas.pasted(glimpses, places) * min(count, 1)
    (estimator(seen, count, torch.rand(6)) * torch.rand(6, len(PLACES))).sum().backward()
    for name, parameter in estimator.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_it_has_no_completions_to_look_ahead_with(world: Enumerated, fitted: AmortisedEstimator) -> None:
    belief = belief_of(fitted, world.split, torch.arange(2), torch.full((2, 1), 2))
    with pytest.raises(SettingsError, match="expected an estimator with completions .* found amortised"):
        belief.completed(0, torch.zeros(2, 1))
    with pytest.raises(SettingsError, match="expected --search greedy .* found beam"):
        Designer(exact_of(world, fitted), search="beam")
