"""Adaptive computation time trained end to end: closed forms, its gradient, and where a network halts."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_network, tiny_split, tiny_store

import hardattn
from data.errors import SettingsError
from data.pool import ImagePool
from hardattn.evaluation import evaluate
from hardattn.loading import open_trained
from hardattn.model.halting import HaltingHead, after_each, halts_at, mean_field, mean_field_weights
from hardattn.model.heads import halting
from hardattn.model.looking import look_at_all
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Mode, Rollout, explore
from hardattn.objectives.methods import Objective
from hardattn.objectives.registry import METHODS
from hardattn.objectives.stopping import ponder
from hardattn.objectives.terms import LossInputs, terms
from hardattn.runs import train
from hardattn.stopping.flops import costs_of
from hardattn.stopping.online import Walker
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Predictions
from hardattn.training.budget import Budget

STEPS, COUNT = 4, 8
SPLIT = tiny_split(COUNT, 0)
SHORT: dict[str, Any] = {
    "budget": Budget(epochs=8),
    "device": "cpu",
    "hidden": 16,
    "batch_size": 16,
    "dropout": 0.0,
}
FAST: dict[str, Any] = SHORT | {
    **{"budget": Budget(epochs=40), "learning_rate": 0.03, "schedule": "none", "average": 0.0}
}


def rolled(network: HardAttention, mode: Mode = "sample") -> Rollout:
    look = partial(ImagePool([SPLIT]).glimpses, GEOMETRY.retina())
    draws = torch.Generator().manual_seed(0)
    index = torch.arange(COUNT)
    return explore(network, look, index, GEOMETRY.grid(), STEPS, mode=mode, generator=draws)


def halting_network(bias: float = -1.0) -> HardAttention:
    network = tiny_network(halts=True)
    torch.nn.init.normal_(head_of(network).weight)
    torch.nn.init.constant_(head_of(network).bias, bias)
    return network


def head_of(network: HardAttention) -> HaltingHead:
    assert network.halting_head is not None
    return network.halting_head


def test_weights_are_the_halting_probabilities_and_the_remainder() -> None:
    halt = torch.tensor([[0.25, 0.5, 0.3, 0.9], [0.995, 0.5, 0.5, 0.5], [0.1, 0.1, 0.1, 0.1]])
    rows = mean_field_weights(halt)
    torch.testing.assert_close(rows.sum(-1), torch.ones(3, 4))
    expected = [[0.25, 0.5, 0.25, 0], [1, 0, 0, 0], [0.1, 0.1, 0.1, 0.7]]
    torch.testing.assert_close(rows[:, -1], torch.tensor(expected))
    torch.testing.assert_close(rows[:, -1], halting(halt)[0])  # those of Graves
    torch.testing.assert_close(rows[2, 1], torch.tensor([0.1, 0.9, 0, 0]))  # the rest is at the last so far
    assert halts_at(halt).tolist() == [3, 1, 4] and halts_at(halt, 0.2).tolist() == [1, 1, 2]


def test_the_prediction_is_the_weighted_mean_of_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, halt = torch.randn(5, 4, 3, generator=generator), torch.rand(5, 4, generator=generator) / 2
    mixed = (mean_field_weights(halt)[..., None] * logits.softmax(-1)[:, None]).sum(2)
    torch.testing.assert_close(mean_field(logits, halt).exp(), mixed)
    torch.testing.assert_close(mean_field(logits, halt)[:, 0], logits[:, 0].log_softmax(-1))


def test_the_rollout_predicts_by_the_mean_and_says_when_to_halt() -> None:
    network = halting_network().eval()
    seen, blind = rolled(network, "greedy"), tiny_network().eval()
    blind.load_state_dict(network.state_dict(), strict=False)
    raw = rolled(blind, "greedy").logits
    torch.testing.assert_close(seen.logits, mean_field(raw, after_each(seen.said["halting"])))
    assert seen.said["halting"].shape == (COUNT, STEPS) and "halting" not in rolled(blind).said


def test_the_ponder_cost_by_hand_and_its_gradient_in_the_state() -> None:
    network = halting_network()
    seen = rolled(network)
    given = torch.tensor([[0.9, 0.25, 0.5, 0.5], [0.9, 0.995, 0.1, 0.1]])  # before each glimpse
    by_hand = replace(seen, said={"halting": given})
    assert ponder(by_hand, 0.2).item() == pytest.approx(0.2 * ((3 + 0.25) + (1 + 1)) / 2)
    ponder(seen, 0.2).backward()
    shaped = [head_of(network).weight, *network.core.parameters()]
    assert all(weights.grad is not None and weights.grad.abs().sum() > 0 for weights in shaped)
    others = [*network.class_head.parameters(), *network.heads.parameters()]
    assert all(weights.grad is None for weights in others)


def test_the_ponder_cost_falls_where_halting_gets_likelier() -> None:
    network = halting_network()
    before = ponder(rolled(network), 1.0)
    before.backward()
    torch.optim.SGD(head_of(network).parameters(), lr=0.01).step()
    after = ponder(rolled(network), 1.0)
    assert 0 < (before - after).item() < 1 and head_of(network).bias.item() > -1.0


def test_the_loss_is_that_of_the_mean_where_it_halts_and_the_cost() -> None:
    network, labels = halting_network(), SPLIT.labels
    seen = rolled(network)
    told = METHODS["act"].suited["loss_at"]
    inputs = LossInputs(seen, labels, torch.zeros(COUNT, dtype=torch.bool), Objective(told, ponder_cost=0.3))
    found = terms(METHODS["act"], inputs)
    nll = -seen.logits[:, -1].gather(1, labels[:, None]).mean()
    torch.testing.assert_close(found["classification"], nll)
    torch.testing.assert_close(found["ponder"], ponder(seen, 0.3))
    grads = torch.autograd.grad(found["classification"], head_of(network).weight)
    assert grads[0].abs().sum() > 0  # the prediction, too, goes by when it halts


@pytest.mark.parametrize(
    ("rule", "threshold"), [("halting", 0.5), ("halting", 0.99), ("fixed", 3), ("act", 0.1)]
)
def test_looking_stops_as_if_all_glimpses_had_been_taken(rule: str, threshold: float) -> None:
    network = halting_network(-0.5).eval()
    pool = ImagePool([SPLIT])
    walker = Walker(
        network, partial(pool.glimpses, GEOMETRY.retina()), COUNT, GEOMETRY.grid(), STEPS, "greedy", 0
    )
    with torch.no_grad():
        stopped = walker.until(RULES[rule], threshold)
        every = Predictions.of(look_at_all(network, SPLIT, GEOMETRY, STEPS, mode="greedy"))
    expected = RULES[rule].stops(every, threshold)
    assert stopped.taken.tolist() == expected.taken.tolist()
    torch.testing.assert_close(stopped.log_probs, expected.log_probs)


def test_halting_is_asked_and_the_class_said_after_every_glimpse() -> None:
    """A decision more for each glimpse than of a network that does not halt; the rule adds nothing."""
    costs, plain = (costs_of(tiny_network(halts=halts), (1, 4, 4)) for halts in (True, False))
    taken = torch.tensor([1, 3])
    head, classes = 2 * 16 / 1e6, plain.classify
    spent = costs.spent(taken, STEPS, "halting", RULES["halting"].classifies)
    expected = plain.spent(taken, STEPS, "", False) + taken * head + (taken - 1) * classes
    assert spent.tolist() == pytest.approx(expected.tolist())
    assert costs.times(3).pooled


def test_a_large_cost_halts_at_the_first_glimpse_and_none_later(tmp_path: Path) -> None:
    glimpses = []
    for cost in (0.0, 5.0):
        run = train(tiny_dataset(), tmp_path / str(cost), method="act", ponder_cost=cost, **FAST)
        points = evaluate(run, dataset=tiny_dataset(), device="cpu", stop=["halting"]).curve
        trained = [its for its in points if its.rule == "halting" and its.threshold == 0.99]
        glimpses.append(trained[0].mean_glimpses)
    assert glimpses[1] == 1.0 < glimpses[0]


def test_with_sequences_it_imitates_and_predicts_through_a_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 8)
    dataset = tiny_dataset()
    store = tiny_store(tmp_path / "sequences.h5", dataset)
    run = train(dataset, tmp_path / "run", method="ps-act", store=store, **SHORT)
    opened = open_trained(run, dataset=dataset, device="cpu")
    assert isinstance(opened.network, HardAttention) and opened.network.halting_head is not None
    assert {"loss_ponder", "loss_imitation", "loss_reinforce"} <= set(opened.log[-1])
    model = hardattn.load(run, device="cpu")
    images = tiny_dataset()["test"].images.numpy()
    answers = model.predict(images, hardattn.Halting())
    curve = {(its.rule, its.threshold): its for its in evaluate(run, dataset=dataset, device="cpu").curve}
    assert answers.taken.mean() == pytest.approx(curve["halting", 0.99].mean_glimpses)
    assert {its.rule for its in evaluate(run, dataset=dataset, device="cpu", stop=["halting"]).curve} == {
        "fixed",
        "halting",
    }
    plain = train(dataset, tmp_path / "plain", method="random", **SHORT)
    with pytest.raises(SettingsError, match="that halts with --stop halting, found one of random; train it"):
        evaluate(plain, dataset=dataset, device="cpu", stop=["halting"])
    with pytest.raises(SettingsError, match="found some; leave out --supervise or take ps-act"):
        train(dataset, tmp_path / "other", method="act", store=store, **SHORT)
