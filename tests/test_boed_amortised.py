"""The amortised estimator against the conditional mean that it regresses, where that can be counted."""

from dataclasses import replace

import pytest
import torch
from amortised_tiny import IMAGES, STEPS, belief_of, own_map, small_world, trained, untrained
from boed_tiny import GEOMETRY, PLACES, Enumerated, exact_approximations, some_of
from torch import Tensor, nn

from boed.approximations import Approximations
from boed.combination import Combination
from boed.estimators.amortised import AmortisedEstimator
from boed.estimators.bank import Bank
from boed.search.designer import Designer, design_sequences
from data.errors import SettingsError


@pytest.fixture(scope="module")
def world() -> Enumerated:
    return small_world()


@pytest.fixture(scope="module")
def bank(world: Enumerated) -> Bank:
    return exact_approximations(world).embedded()


@pytest.fixture(scope="module")
def fitted(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> AmortisedEstimator:
    state = tmp_path_factory.mktemp("estimator") / "state.safetensors"
    return trained(bank, state, 400, estimator=untrained(64))


def test_a_tenth_of_the_features_is_dropped_in_training_and_none_afterwards() -> None:
    assert AmortisedEstimator((1, 4, 4), places=9, glimpses=3).count_bias.shape == (4, 256)  # by default
    estimator = AmortisedEstimator((1, 4, 4), places=9, glimpses=3, width=2000)
    shares = [layer.p for layer in estimator.modules() if isinstance(layer, nn.Dropout)]
    assert shares and set(shares) == {0.1}
    totals = torch.zeros(3, 2000)
    assert not torch.equal(*(estimator(totals, 1) for _ in range(2)))
    assert torch.equal(*(estimator.eval()(totals, 1) for _ in range(2)))


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
def test_embeddings_add_in_any_order(world: Enumerated) -> None:
    estimator, rows = untrained(glimpses=3).eval(), torch.arange(5)
    one, other = (
        own_map(estimator, world.split, rows, torch.tensor(places).expand(5, -1))
        for places in ([7, 1, 2], [2, 7, 1])
    )
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    centres = GEOMETRY.grid().normalised()[[7, 1, 2]].expand(5, -1, -1)
    glimpses = GEOMETRY.retina()(world.split.images, rows, PLACES[[7, 1, 2]].expand(5, -1, -1))
    plain = estimator(estimator.encoder(glimpses, centres).sum(1), 3)
    torch.testing.assert_close(one.float(), plain, rtol=1e-4, atol=1e-5)


def test_maps_do_not_depend_on_the_images_beside(world: Enumerated, fitted: AmortisedEstimator) -> None:
    """In the precision of the store; the sums themselves are in double precision."""
    places = torch.arange(IMAGES)[:, None] % 9
    together = own_map(fitted, world.split, torch.arange(IMAGES), places)
    assert together.dtype == torch.float64
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
    whole = belief.own_map(torch.zeros(5, 1), 2)
    assert torch.equal(belief.own_map(torch.zeros(5, 1), 2, wanted), whole.masked_fill(~wanted, torch.inf))


def test_a_belief_leaves_the_network_in_single_precision(world: Enumerated) -> None:
    estimator = untrained()
    belief_of(estimator, world.split, torch.arange(3), torch.full((3, 1), 2))
    assert all(value.dtype == torch.float32 for value in estimator.state_dict().values())


@pytest.mark.parametrize("count", range(STEPS))
def test_gradient_reaches_every_parameter(count: int) -> None:
    """Also before the first glimpse, when there is nothing but the bias."""
    estimator = untrained().eval()
    y, centres = torch.rand(6, STEPS, 1, 4, 4), torch.rand(6, STEPS, 2)
    totals = estimator.encoder(y, centres).sum(1) if count else torch.zeros(6, 16)
    estimator(totals, count).sum().backward()
    assert estimator.count_bias.grad is not None
    assert estimator.count_bias.grad[count].abs().sum() > 0
    touched = {name for name, p in estimator.named_parameters() if p.grad is not None}
    assert touched == {n for n, _ in estimator.named_parameters() if count or not n.startswith("encoder")}


def test_it_has_no_completions_to_look_ahead_with(world: Enumerated, fitted: AmortisedEstimator) -> None:
    belief = belief_of(fitted, world.split, torch.arange(2), torch.full((2, 1), 2))
    with pytest.raises(SettingsError, match="expected an estimator with completions .* found amortised"):
        belief.completed(0, belief.totals)
    with pytest.raises(SettingsError, match="expected --search greedy .* found beam"):
        Designer(exact_of(world, fitted), search="beam")
