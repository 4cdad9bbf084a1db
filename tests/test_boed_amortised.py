"""The amortised estimator against the conditional mean that it regresses, where that can be counted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated, ExactPosterior, exact_approximations
from torch import Tensor, nn

import boed.amortised
from boed.amortised import AmortisedBelief, AmortisedEstimator, train_estimator
from boed.approximations import Approximations
from boed.bank import Bank
from boed.combination import Combination
from boed.search import Designer, design_sequences
from data.dataset import Split
from data.errors import CheckpointError, SettingsError

STEPS, IMAGES = 2, 16
TASK = {"seed": 0, "score": "cross-entropy"}


@pytest.fixture(scope="module")
def world() -> Enumerated:
    return Enumerated(IMAGES, classes=2)


@pytest.fixture(scope="module")
def bank(world: Enumerated) -> Bank:
    return exact_approximations(world).embedded()


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boed.amortised, "BATCH", 32)
        patch.setattr(boed.amortised, "LEARNING_RATE", 3e-3)
        yield


def untrained(width: int = 16, glimpses: int = STEPS) -> AmortisedEstimator:
    torch.manual_seed(0)
    return AmortisedEstimator((1, 4, 4), 9, glimpses, width)


def trained(bank: Bank, state: Path, iterations: int = 24, **changed: Any) -> AmortisedEstimator:
    estimator = changed.pop("estimator", None) or untrained()
    options = {"score": "cross-entropy", "glimpses": STEPS, "seed": 0, "task": TASK}
    train_estimator(estimator, bank, iterations=iterations, state=state, **options | changed)
    return estimator


@pytest.fixture(scope="module")
def fitted(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> AmortisedEstimator:
    state = tmp_path_factory.mktemp("estimator") / "state.safetensors"
    return trained(bank, state, 400, estimator=untrained(64))


def belief_of(estimator: AmortisedEstimator, split: Split, rows: Tensor, places: Tensor) -> AmortisedBelief:
    """After glimpses of the images `rows` (B,) at places (B, t)."""
    belief = AmortisedBelief(estimator, PLACES, GEOMETRY, len(rows))
    with torch.no_grad():
        for each in places.T:
            belief.observe(GEOMETRY.retina()(split.images, rows, PLACES[each, None])[:, 0], each)
    return belief


@torch.no_grad()
def own_map(estimator: AmortisedEstimator, split: Split, rows: Tensor, places: Tensor) -> Tensor:
    unused = torch.zeros(len(rows), 1)
    return belief_of(estimator, split, rows, places).own_map(unused, places.shape[1] + 1)


def same_weights(one: AmortisedEstimator, other: AmortisedEstimator) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


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
    rows, some = torch.arange(5), torch.tensor([8, 0, 3])
    belief = belief_of(fitted, world.split, rows, torch.full((5, 1), 2))
    whole = belief.own_map(torch.zeros(5, 1), 2)
    assert torch.equal(belief.own_map(torch.zeros(5, 1), 2, some), whole[:, some])


def test_a_belief_leaves_the_network_in_single_precision(world: Enumerated) -> None:
    estimator = untrained()
    belief_of(estimator, world.split, torch.arange(3), torch.full((3, 1), 2))
    assert all(value.dtype == torch.float32 for value in estimator.state_dict().values())


@pytest.mark.parametrize("stops", [[1], [7], [5], [23], [6, 3, 9]], ids=str)
def test_an_interrupted_training_ends_with_the_same_network(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: list[int]
) -> None:
    monkeypatch.setattr(boed.amortised, "SAVE_EVERY", 5)
    straight = trained(bank, tmp_path / "straight")
    rollout, calls = boed.amortised._rollout_loss, list[int]()

    def counted(*args: Any) -> Tensor:
        calls.append(1)
        if len(calls) > stop:
            raise KeyboardInterrupt
        return rollout(*args)

    done = 0
    for stop in stops:
        calls.clear()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(boed.amortised, "_rollout_loss", counted)
            trained(bank, tmp_path / "resumed")
        done = (done + stop) // 5 * 5
    calls.clear()
    stop = 24
    monkeypatch.setattr(boed.amortised, "_rollout_loss", counted)
    resumed = trained(bank, tmp_path / "resumed")
    assert len(calls) == 24 - done
    assert same_weights(straight, resumed) and not resumed.training


def test_the_seed_is_what_is_drawn_from(bank: Bank, tmp_path: Path) -> None:
    one, same, other = (trained(bank, tmp_path / str(n), 2, seed=seed) for n, seed in enumerate((0, 0, 1)))
    assert same_weights(one, same) and not same_weights(one, other)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"score": "entropy"}])
def test_a_state_of_another_task_is_refused(bank: Bank, tmp_path: Path, changed: dict[str, Any]) -> None:
    trained(bank, tmp_path / "state", 2)
    ((name, _),) = changed.items()
    with pytest.raises(CheckpointError, match=f"with {name} = "):
        trained(bank, tmp_path / "state", 2, task=TASK | changed)


def test_only_the_cross_entropy_needs_labels(bank: Bank, tmp_path: Path) -> None:
    other = Bank(bank.q, replace(bank.split, labels=1 - bank.labels), PLACES, GEOMETRY)
    found = [trained(b, tmp_path / f"{n}", 3, score="entropy") for n, b in enumerate((bank, other))]
    assert same_weights(*found)
    crossed = [trained(b, tmp_path / f"c{n}", 3) for n, b in enumerate((bank, other))]
    assert not same_weights(*crossed)


def test_a_bank_that_is_not_kept_trains_the_same_network(bank: Bank, tmp_path: Path) -> None:
    frugal = Bank(bank.q, bank.split, PLACES, GEOMETRY, memory_gb=0)
    assert bank.kept and not frugal.kept
    assert same_weights(*(trained(b, tmp_path / f"{n}", 3) for n, b in enumerate((bank, frugal))))


@pytest.mark.parametrize("exploration", [0.0, 0.25, 1.0])
def test_it_looks_where_its_own_map_is_lowest_but_for_exploration(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exploration: float
) -> None:
    """An arbitrary place is the lowest one once in nine."""
    looked, at = list[tuple[Tensor, Tensor]](), Bank.statistics_at

    def spied(self: Bank, rows: Tensor, places: Tensor) -> Tensor:
        looked.append((rows, places))
        return at(self, rows, places)

    monkeypatch.setattr(Bank, "statistics_at", spied)
    monkeypatch.setattr(boed.amortised, "EXPLORATION", exploration)
    monkeypatch.setattr(boed.amortised, "BATCH", 2000)
    trained(bank, tmp_path / "state", 1, estimator=without_dropout(untrained()))
    (rows, first), (_, second) = looked
    untouched = untrained().eval()
    lowest = own_map(untouched, bank.split, rows, torch.zeros(len(rows), 0, dtype=torch.int64)).argmin(1)
    expected = 1 - exploration * 8 / 9
    assert float((first == lowest).double().mean()) == pytest.approx(expected, abs=0.04)
    found = own_map(untouched, bank.split, rows, first[:, None]).scatter(1, first[:, None], torch.inf)
    assert float((second == found.argmin(1)).double().mean()) == pytest.approx(expected, abs=0.04)


def without_dropout(estimator: AmortisedEstimator) -> AmortisedEstimator:
    for part in estimator.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return estimator


def test_a_map_of_so_many_glimpses_is_about_one_more(
    world: Enumerated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, realised = list[int](), list[Any]()
    forward, logits = AmortisedEstimator.forward, ExactPosterior.logits

    def spied_forward(self: AmortisedEstimator, totals: Tensor, count: int) -> Tensor:
        asked.append(count)
        return forward(self, totals, count)

    def spied_logits(self: ExactPosterior, total: Tensor, count: int | Tensor) -> Tensor:
        realised.append(count)
        return logits(self, total, count)

    monkeypatch.setattr(AmortisedEstimator, "forward", spied_forward)
    monkeypatch.setattr(ExactPosterior, "logits", spied_logits)
    trained(exact_approximations(world).embedded(), tmp_path / "state", 1)
    assert asked == [0, 1] and realised == [1, 2]


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
        belief.completed(0)
    with pytest.raises(SettingsError, match="expected --search greedy .* found beam"):
        Designer(exact_of(world, fitted), search="beam")


def test_information_is_no_mean_of_single_outcomes(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="found information"):
        trained(bank, tmp_path / "state", score="information")
    assert not list(tmp_path.iterdir())
