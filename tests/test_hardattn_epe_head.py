"""The method epe-head: the head is the mean of the realised cross-entropy, and its places tell."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import GEOMETRY, pointer_dataset, pointer_split
from torch import Tensor
from torch.nn.functional import cross_entropy

from data.device import one_thread
from data.errors import SettingsError
from data.pool import ImagePool
from data.tensors import load_tensors
from hardattn.evaluation import evaluate
from hardattn.loading import open_trained
from hardattn.model.locations import EpeMap
from hardattn.model.looking import look_at_all
from hardattn.model.network import HardAttention
from hardattn.model.policies import EXPLORATION
from hardattn.model.rollout import explore, follow, read, walk
from hardattn.objectives.rewards import entropy
from hardattn.runs import train
from hardattn.stopping.flops import mflops_by_part
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.epe_learner import EpeLearner, exploration, realised, regression, taken
from hardattn.training.recipe import Recipe

GRID, STEPS, COUNT = GEOMETRY.grid(), 3, 40  # nine places; the middle one says where the rest of the label is
SPLIT = pointer_split(COUNT, 7)
LOOK = partial(ImagePool([SPLIT]).glimpses, GEOMETRY.retina())
INDEX = torch.arange(COUNT)
MIDDLE, FINE = 4, (0, 8)
RECIPE = Recipe(batch_size=64, hidden=32, learning_rate=1e-2, dropout=0.0, jitter=0.0, tone=0.0)
SHORT = {"recipe": RECIPE, "budget": Budget(epochs=1), "device": "cpu", "method": "epe-head"}  # 10 iterations


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(autouse=True)
def _check_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the pointer task, of three glimpses."""
    options = SHORT | {"budget": Budget(epochs=20)}
    return train(pointer_dataset(), tmp_path_factory.mktemp("epe") / "run", **options)


def network_of(**chosen: object) -> HardAttention:
    torch.manual_seed(0)
    return HardAttention(1, GRID, 4, hidden=16, policy="epe", **chosen).eval()


def map_of(network: HardAttention, state: Tensor) -> EpeMap:
    found = network.policy(state)
    assert isinstance(found, EpeMap)
    return found


def opened(folder: Path) -> HardAttention:
    found = open_trained(folder, dataset=pointer_dataset()).network
    assert isinstance(found, HardAttention)
    return found


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def after_one(network: HardAttention, place: int) -> Tensor:
    """(COUNT,) cross-entropy in nats after one glimpse there."""
    told = follow(network, LOOK, INDEX, GRID.locations[place].expand(COUNT, 1, 3), GRID)
    return cross_entropy(told.logits[:, 0], SPLIT.labels, reduction="none")


def test_the_head_converges_to_the_mean_of_the_realised_cross_entropy() -> None:
    """Before any glimpse all images have one state: the conditional mean is a mean over the images."""
    network = network_of()
    with torch.no_grad():
        network.class_head.weight.mul_(8)  # a classifier that is sure, and mostly wrong
        exact = torch.stack([after_one(network, place).mean() for place in range(len(GRID))])
        walked = walk(network, LOOK, INDEX, GRID, 1, mode="greedy")
        everywhere = torch.arange(len(GRID)).expand(COUNT, 1, -1)
        values = realised(network, LOOK, INDEX, walked, everywhere, SPLIT.labels, GRID)
    assert exact.max() - exact.min() > 0.5
    optimiser, generator = torch.optim.Adam(network.policy_head.parameters(), lr=0.02), draws()
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, total_iters=400)
    for _ in range(400):
        places = torch.randint(len(GRID), (COUNT, 1, 4), generator=generator)
        optimiser.zero_grad()
        regression(network, walked, places, values.gather(2, places)).backward()
        optimiser.step()
        decay.step()
    torch.testing.assert_close(map_of(network, network.initial(1)).epe[0], exact, atol=0.1, rtol=0)


def test_candidates_are_scored_as_if_they_had_been_taken() -> None:
    network = network_of()
    walked = walk(network, LOOK, INDEX, GRID, STEPS, mode="sample", generator=draws())
    places = GRID.index(walked.locations)[..., None]
    values = realised(network, LOOK, INDEX, walked, places, SPLIT.labels, GRID)
    expected = taken(read(network, walked, GRID), SPLIT.labels)
    torch.testing.assert_close(values[..., 0], expected)
    assert not values.requires_grad and not expected.requires_grad
    assert expected.std() > 1e-3
    log_probs = follow(network, LOOK, INDEX, walked.locations, GRID).logits.log_softmax(-1)
    torch.testing.assert_close(expected[3, 1], -log_probs[3, 1, SPLIT.labels[3]].detach())


@pytest.mark.parametrize("shapes", [True, False])
def test_the_regression_shapes_the_state_only_where_the_policy_does(shapes: bool) -> None:
    network = network_of(policy_shapes_state=shapes)
    walked = walk(network, LOOK, INDEX, GRID, STEPS, mode="sample", generator=draws())
    places = GRID.index(walked.locations)[..., None]
    regression(network, walked, places, torch.zeros(COUNT, STEPS, 1)).backward()
    touched = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert touched == ({"what", "combine", "core", "policy_head"} if shapes else {"policy_head"})


def test_learns_to_look_where_the_class_is_told(folder: Path) -> None:
    """The middle cell first, then the one that it points at; at random places the same network knows less."""
    network, test = opened(folder), pointer_split(400, 9)
    look = partial(look_at_all, network, test, GEOMETRY, STEPS)
    chosen, arbitrary = look(mode="greedy"), look(mode="random")
    places = GRID.index(chosen.locations[:, :2])
    assert (places[:, 0] == MIDDLE).all()
    assert (places[:, 1] == torch.tensor(FINE)[test.labels // 2]).double().mean() > 0.95
    right = [(seen.logits[:, 1].argmax(1) == test.labels).double().mean() for seen in (chosen, arbitrary)]
    assert right[0] > 0.95 and right[1] < 0.6


@pytest.mark.parametrize("mode", ["sample", "greedy"])
def test_no_place_is_taken_twice(mode: str) -> None:
    network = network_of()
    found = explore(network, LOOK, INDEX, GRID, len(GRID), mode=mode, generator=draws())
    places = GRID.index(found.locations)
    assert torch.equal(places.sort(1).values, torch.arange(len(GRID)).expand(COUNT, -1))
    assert found.log_prob.isfinite().all() and found.gain.isfinite().all()


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_draws_explore_as_the_schedule_says(fraction: float) -> None:
    """Of 9 places 2 are seen: an arbitrary one of the others is not the best in 6 of 7 cases."""
    epsilon = {0.0: 1.0, 0.25: (1 + EXPLORATION) / 2, 0.5: EXPLORATION, 1.0: EXPLORATION}[fraction]
    assert exploration(fraction) == pytest.approx(epsilon)
    seen = torch.arange(9) < 2
    values, seen = torch.arange(9.0).expand(20_000, -1), seen.expand(20_000, -1)
    policy = EpeMap(values, GRID, exploration(fraction), seen)
    places = GRID.index(policy.sample(draws()))
    share = (places != 2).double().mean().item()
    assert share == pytest.approx(epsilon * 6 / 7, abs=0.01) and places.min() == 2
    best, other = policy.log_prob(GRID.locations[[2, 5]].repeat(10_000, 1)).exp()[:2].tolist()
    assert best == pytest.approx(1 - epsilon * 6 / 7) and other == pytest.approx(epsilon / 7)


def test_training_follows_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, weighted = list[float](), EpeLearner._weighted

    def noted(self: EpeLearner, *arguments: Any) -> dict[str, Tensor]:
        found.append(map_of(self.network, self.network.initial(1)).epsilon)
        return weighted(self, *arguments)

    monkeypatch.setattr(EpeLearner, "_weighted", noted)
    train(pointer_dataset(), tmp_path / "run", **SHORT)
    assert found == pytest.approx([exploration(n / 10) for n in range(10)]) and found[0] == 1.0
    kept = opened(tmp_path / "run")
    assert map_of(kept, kept.initial(1)).epsilon == EXPLORATION


def test_predicted_gain_is_entropy_less_the_smallest_value_not_seen() -> None:
    network = network_of()
    seen = explore(network, LOOK, INDEX, GRID, STEPS, mode="sample", generator=draws())
    state, places, differs = network.initial(COUNT), GRID.index(seen.locations), False
    for t in range(STEPS):
        values = map_of(network, state).epe.detach().clone()
        lowest = values.amin(1)
        values[INDEX[:, None], places[:, :t]] = math.inf
        differs |= bool((values.amin(1) != lowest).any())
        expected = entropy(network.classify(state)) - values.amin(1)
        torch.testing.assert_close(seen.gain[:, t], expected.detach())
        glimpses = LOOK(INDEX, seen.locations[:, t : t + 1])[:, 0]
        state = network.step(glimpses, GRID.normalised()[places[:, t]], state)
    assert differs  # the best place was taken at least once


def test_gains_are_those_of_the_exact_design(folder: Path) -> None:
    """Each of the first two glimpses halves the four classes, and the third tells nothing: ln 2, ln 2, 0."""
    gains = look_at_all(opened(folder), pointer_split(400, 9), GEOMETRY, STEPS, mode="greedy").gain
    expected = torch.tensor([math.log(2), math.log(2), 0.0])
    torch.testing.assert_close(gains.mean(0), expected, atol=0.1, rtol=0)


def test_evaluation_stops_by_the_predicted_gain(folder: Path) -> None:
    """Two glimpses tell all, and the network knows."""
    result = evaluate(folder, dataset=pointer_dataset())
    points = [point for point in result.curve if point.rule == "gain"]
    glimpses = [point.mean_glimpses for point in points]
    assert len(points) > 3 and glimpses == sorted(glimpses, reverse=True) and glimpses[0] > 2.5
    assert any(point.mean_glimpses < 2.4 and point.accuracy > 0.9 for point in points)
    assert points[-1].mean_glimpses < 1.5 and points[-1].accuracy < 0.8
    several = evaluate(folder, dataset=pointer_dataset(), trajectories=3)
    assert several.accuracy_at["2"] > 0.8


def test_the_gain_costs_nothing_beside_the_policy() -> None:
    parts = mflops_by_part(network_of(), GEOMETRY.glimpse_shape())
    assert parts["gain"] == 0 and parts["policy"] == pytest.approx(2 * 16 * (16 + len(GRID)) / 1e6)


def test_resumed_run_has_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, step = train(pointer_dataset(), tmp_path / "whole", **SHORT), EpeLearner.step

    def interrupted(self: EpeLearner, *arguments: object) -> None:
        if self.iteration == 7:
            raise KeyboardInterrupt
        step(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(EpeLearner, "step", interrupted)
        train(pointer_dataset(), tmp_path / "parts", **SHORT)
    parts = train(pointer_dataset(), tmp_path / "parts", **SHORT)
    for name in (checkpoint.LAST, checkpoint.MODEL):
        one, two = (load_tensors(run / name, checkpoint.COMMAND)[0] for run in (whole, parts))
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"policy": "gaussian"}, "expected --policy epe with --method epe-head, found gaussian; change"),
        (
            {"method": "ram", "policy": "epe"},
            "log-probability with --method ram, by reinforce, found epe; change",
        ),
        ({"glimpses": 10}, "at most 9 glimpses, .* found 10"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        train(pointer_dataset(), tmp_path / "run", **SHORT | options)
    assert not (tmp_path / "run").exists()
