"""Parts that another package may bring: a policy that a gradient flows through, a method, a learner."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_network, tiny_split, tiny_store
from torch import Tensor, nn

import hardattn
from data.errors import SettingsError
from data.grid import LocationGrid
from data.plugins import Registry
from hardattn.baselines.layers import Baseline, Image
from hardattn.baselines.registry import BASELINES
from hardattn.baselines.training import train_baseline
from hardattn.evaluation import evaluate, looked_at
from hardattn.loading import open_trained
from hardattn.model.cores import Core
from hardattn.model.heads import HeadKind, require_said
from hardattn.model.looking import look_at_all
from hardattn.model.policies import Action, Policy
from hardattn.model.registry import COMBINATIONS, CORES, ENCODERS, HEADS, POLICIES
from hardattn.objectives.methods import Method
from hardattn.objectives.registry import METHODS, TERMS
from hardattn.objectives.terms import LossInputs, Term
from hardattn.report.looks import Looks
from hardattn.runs import train
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Predictions, Rule, quantiles, until_below
from hardattn.training.budget import Budget
from hardattn.training.learner import Learner
from hardattn.training.recipe import Recipe
from hardattn.training.registry import LEARNERS
from supervision.batches import MixedBatches

DATASET = tiny_dataset()
SHORT: dict[str, Any] = {
    "recipe": Recipe(batch_size=16, hidden=16, jitter=0.0),
    "budget": Budget(epochs=1),
    "device": "cpu",
    "policy": "pointer",
}


class PointerPolicy(Policy):
    """Three numbers: row and column of the top-left pixel, and the side, from G to 2 G."""

    differentiable, scored = True, False

    def __init__(self, features: int, grid: LocationGrid) -> None:
        super().__init__()
        self.linear, self.grid = nn.Linear(features, 3), grid

    def act(self, features: Tensor, *_: object) -> Action:
        row, col, wide = self.linear(features).sigmoid().unbind(-1)
        (height, width), size = self.grid.image_size, self.grid.glimpse_size
        side = size * (1 + wide)
        return Action(torch.stack([row * (height - side), col * (width - side), side], -1), None)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """What a package registers, for the time of a test."""
    added: list[tuple[Registry[Any], str, Any]] = [
        (POLICIES, "pointer", PointerPolicy),
        (
            METHODS,
            "end-to-end",
            Method("by the cross-entropy alone", "sample", "greedy", {"classification": 1.0}),
        ),
    ]
    for registry, name, part in added:
        registry.register(name)(part)
    yield
    for registry, name, _ in added:
        del registry._known[name]


def learner_of(method: str, batches: MixedBatches, **chosen: Any) -> Learner:
    recipe = Recipe(batch_size=48, hidden=16, dropout=0.0, jitter=0.0, tone=0.0, learning_rate=1e-2)
    network = tiny_network(policy="pointer", policy_shapes_state=True, **chosen)
    return Learner(network, METHODS[method], batches, GEOMETRY, recipe, 0)


def test_a_differentiable_policy_learns_by_the_cross_entropy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.trainer.is_check", lambda iteration: True)
    batches = MixedBatches(DATASET["train"], 3, 48)
    learner, found = learner_of("end-to-end", batches), list[float]()
    for batch, _ in zip(batches, range(60), strict=False):
        learner.step(batch, 0.0)
        found.append(learner.terms["loss_classification"])
        slopes = [weights.grad for weights in learner.network.policy_head.parameters()]
        assert all(slope is not None and slope.isfinite().all() and slope.abs().sum() > 0 for slope in slopes)
    assert sum(found[-5:]) / 5 < 0.6 * found[0]


def test_its_places_lie_between_pixels_and_are_told_as_whole_ones() -> None:
    network = tiny_network(policy="pointer")
    places = network.act(network.initial(2), "greedy").places
    assert places.is_floating_point() and places.requires_grad
    rollout = look_at_all(network, tiny_split(5, 0), GEOMETRY, 3, mode="greedy")
    assert rollout.locations.dtype == torch.int64 and rollout.log_prob.isnan().all()
    assert rollout.locations[0, 0].tolist() == places[0].round().tolist()
    with pytest.raises(SettingsError, match="expected a policy that draws places, found PointerPolicy"):
        network.policy(network.initial(2))
    with pytest.raises(SettingsError, match="expected a policy with a log-probability, found PointerPolicy"):
        network.log_prob(network.initial(2), places)


@pytest.mark.parametrize(
    ("method", "term"), [("ram", "reinforce"), ("wsram", "wake-sleep"), ("ps-nogs", "imitation")]
)
def test_a_loss_that_needs_a_log_probability_refuses_it_before_training(
    tmp_path: Path, method: str, term: str
) -> None:
    designs = tiny_store(tmp_path / "s.h5", DATASET)
    store = designs if METHODS[method].supervised else None
    with pytest.raises(SettingsError, match=f"expected a --policy that learns .* {term}, found pointer"):
        train(DATASET, tmp_path / "run", method=method, store=store, **SHORT)
    with pytest.raises(SettingsError, match="expected --policy categorical .* saliency, found pointer"):
        train(
            DATASET,
            tmp_path / "run",
            method="saliency",
            store=tiny_store(tmp_path / "t.h5", DATASET),
            **SHORT,
        )
    assert not (tmp_path / "run").exists()


def test_a_policy_that_nothing_would_train_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected a method that trains --policy epe, found end-to-end"):
        train(DATASET, tmp_path / "run", method="end-to-end", **SHORT | {"policy": "epe"})


def test_a_run_with_parts_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, evaluated, and with a term of the loss and a learner of its own."""
    batches = list[int]()

    class Counting(Learner):
        def step(self, batch: Any, fraction: float) -> None:
            batches.append(len(batch.index))
            super().step(batch, fraction)

    def brightness(inputs: LossInputs) -> Tensor:
        return inputs.rollout.logits.square().mean()

    own = Method("", "sample", "greedy", {"classification": 1.0, "brightness": 0.1}, learner="counting")
    monkeypatch.setitem(LEARNERS._known, "counting", Counting)
    monkeypatch.setitem(TERMS._known, "brightness", Term(brightness))
    monkeypatch.setitem(METHODS._known, "own", own)
    folder = train(DATASET, tmp_path / "run", method="own", **SHORT)
    assert batches == [16] * 3
    result = evaluate(folder, dataset=DATASET)
    assert set(result.accuracy_at) == {"1", "2", "3"}


def test_a_head_with_its_loss_and_its_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that says how likely the network is wrong now, and a rule that stops when it says: hardly."""

    def doubt(inputs: LossInputs) -> Tensor:
        before = torch.cat([inputs.rollout.prior[:, None], inputs.rollout.logits[:, :-1]], 1)
        wrong = (before.argmax(-1) != inputs.labels[:, None]).float()
        return (require_said(inputs.rollout.said, "doubt") - wrong).square().mean()

    def by_doubt(predicted: Predictions) -> Tensor:
        return require_said(predicted.said, "doubt")

    method = Method("", "sample", "greedy", {**METHODS["ram"].weights, "doubt": 1.0})
    rule = Rule(
        "until it has no doubt", partial(until_below, by_doubt), partial(quantiles, by_doubt), "doubt", False
    )
    monkeypatch.setitem(HEADS._known, "doubt", HeadKind(1, lambda outputs: outputs.squeeze(-1).sigmoid()))
    monkeypatch.setitem(TERMS._known, "doubt", Term(doubt))
    monkeypatch.setitem(RULES._known, "doubt", rule)
    monkeypatch.setitem(METHODS._known, "doubting", method)
    plain = train(DATASET, tmp_path / "plain", method="ram", **SHORT | {"policy": "categorical"})
    folder = train(DATASET, tmp_path / "run", method="doubting", **SHORT | {"policy": "categorical"})
    points = {point.rule: point for point in evaluate(folder, dataset=DATASET).curve}
    assert points["doubt"].mflops > 0 and points["doubt"].threshold < 1
    monkeypatch.delitem(HEADS._known, "doubt")
    monkeypatch.delitem(RULES._known, "doubt")
    assert {point.rule for point in evaluate(folder, dataset=DATASET).curve} == set(RULES) - {"halting"}
    assert evaluate(plain, dataset=DATASET).curve


def test_an_encoder_a_combination_a_core_and_a_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mean(nn.Module):
        def __init__(self, channels: int, size: int, features: int, *, batch_norm: bool = False) -> None:
            super().__init__()
            self.linear = nn.Linear(channels, features)

        def forward(self, glimpses: Tensor) -> Tensor:
            return self.linear(glimpses.mean((2, 3)))

    class Forgetful(Core):
        def __init__(self, features: int) -> None:
            super().__init__()
            self.start = nn.Parameter(torch.zeros(features))

        def forward(self, features: Tensor, state: Tensor) -> Tensor:
            return features

    class Blind(nn.Module):
        def __init__(self, features: int) -> None:
            super().__init__()

        def forward(self, what: Tensor, centres: Tensor) -> Tensor:
            return what

    def line(image: Image, classes: int, *, width: float = 1.0) -> Baseline:
        return Baseline(nn.Flatten(), nn.Linear(math.prod(image), classes))

    for registry, part in ((ENCODERS, Mean), (CORES, Forgetful), (COMBINATIONS, Blind), (BASELINES, line)):
        monkeypatch.setitem(registry._known, "own", part)
    chosen = {"policy": "categorical", "encoder": "own", "core": "own", "combine": "own"}
    folder = train(DATASET, tmp_path / "run", method="ram", **SHORT | chosen)
    assert evaluate(folder, dataset=DATASET).accuracy_at
    options: dict[str, Any] = {"budget": Budget(epochs=1), "device": "cpu", "batch_size": 16}
    baseline = train_baseline(DATASET, tmp_path / "baseline", "own", width=2.0, **options)
    assert evaluate(baseline, dataset=DATASET).accuracy_at
    with pytest.raises(SettingsError, match="expected no --hidden with --baseline own, found 8"):
        train_baseline(DATASET, tmp_path / "other", "own", hidden=8, **options)


def test_predictions_of_places_between_the_pixels_are_those_of_the_curve() -> None:
    model = hardattn.train(DATASET, method="end-to-end", **SHORT)
    looks, _ = looked_at(model.run, DATASET["test"])
    noted = [point["threshold"] for point in model.run.about["stopping"] if point["rule"] == "entropy"]
    stops = RULES["entropy"].stops(looks.predictions, noted[10])
    answers = model.predict(DATASET["test"].images, hardattn.Entropy(noted[10]))
    assert answers.taken.tolist() == stops.taken.tolist() and 1 < answers.taken.mean() < 3
    torch.testing.assert_close(torch.from_numpy(answers.probabilities), stops.log_probs.exp())
    whole = model.predict(DATASET["test"].images)
    assert torch.equal(torch.from_numpy(whole.places), looks.locations[:, 0])


def test_the_report_has_no_map_of_places_that_are_not_drawn(tmp_path: Path) -> None:
    run = open_trained(train(DATASET, tmp_path / "run", method="end-to-end", **SHORT), dataset=DATASET)
    walk = Looks.of(run, run.glimpsing()[0]).walk(0)
    assert walk["maps"] is None and len(walk["glimpses"]) == 3


def test_predictions_with_a_differentiable_policy_are_those_of_a_rollout(tmp_path: Path) -> None:
    folder = train(DATASET, tmp_path / "run", method="end-to-end", **SHORT)
    model, test = hardattn.load(folder, device="cpu"), DATASET["test"]
    answers = model.predict(test.images)
    rollout = look_at_all(model.run.network, test, GEOMETRY, 3, mode="greedy")
    assert torch.equal(torch.from_numpy(answers.places), rollout.locations)
    chances = rollout.logits[:, -1].softmax(-1)
    torch.testing.assert_close(torch.from_numpy(answers.probabilities).float(), chances, atol=1e-5, rtol=0)
