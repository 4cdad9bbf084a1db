"""Stopping heads and their losses: closed forms, and that they shape nothing but themselves."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_network, tiny_split, tiny_store

from data.errors import SettingsError, StoreError
from data.pool import ImagePool
from hardattn.model.heads import PONDER_COSTS, WIDTH, HeadKind, Said, StoppingHeads, after, halting, stopping
from hardattn.model.network import HardAttention
from hardattn.model.registry import HEADS
from hardattn.model.rollout import Rollout, explore
from hardattn.objectives.registry import METHODS
from hardattn.objectives.stopping import accuracy_gain, act, gain, stochastic
from hardattn.objectives.terms import LossInputs, terms
from hardattn.runs import train
from hardattn.stopping.flops import costs_of, mflops_by_part
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Predictions, rules_for
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe

SPLIT = tiny_split(8, 0)
COSTS = torch.tensor(PONDER_COSTS)
LOSSES = {"gain": gain, "accuracy_gain": accuracy_gain, "act": act, "stochastic": stochastic}


def rolled(seed: int = 0) -> Rollout:
    pool = ImagePool([SPLIT])
    return explore(
        tiny_network(seed),
        lambda index, locations: pool.glimpses(GEOMETRY.retina(), index, locations),
        torch.arange(8),
        GEOMETRY.grid(),
        3,
        mode="sample",
        generator=torch.Generator().manual_seed(0),
    )


def made_up(chances: torch.Tensor, said: Said) -> Rollout:
    """Images of class 0 with probabilities (B, T+1) of it before any glimpse and after each."""
    logits = torch.stack([chances, 1 - chances], -1).log()
    count, steps = chances[:, 1:].shape
    nothing = torch.zeros(count, steps)
    where = torch.zeros(count, steps, 2, dtype=torch.int64)
    return Rollout(where, nothing, logits[:, 0], logits[:, 1:], nothing, said)


def outputs(count: int, steps: int, **given: torch.Tensor) -> Said:
    """What is said by the heads: those given before each glimpse, the same for all costs; 0 by the others."""
    return {
        name: kind.meaning(given.get(name, torch.zeros(count, steps))[..., None].expand(-1, -1, kind.outputs))
        for name, kind in HEADS.items()
    }


def test_gain_and_accuracy_gain_are_regressed_on_what_was_realised() -> None:
    chances = torch.tensor([[0.5, 0.8, 0.4], [0.25, 0.5, 0.5]])
    labels = torch.zeros(2, dtype=torch.int64)
    nats, rise = chances.log().diff(dim=1), chances.diff(dim=1)
    exact = made_up(chances, outputs(2, 2, gain=nats, accuracy_gain=rise))
    assert gain(exact, labels).item() == pytest.approx(0, abs=1e-12)
    assert accuracy_gain(exact, labels).item() == pytest.approx(0, abs=1e-12)
    blind = made_up(chances, outputs(2, 2))
    assert gain(blind, labels).item() == pytest.approx(nats.square().mean().item())
    assert accuracy_gain(blind, labels).item() == pytest.approx(rise.square().mean().item())


def test_gain_is_regressed_on_the_design_where_there_is_one() -> None:
    chances, labels = torch.tensor([[0.5, 0.8, 0.4], [0.25, 0.5, 0.5]]), torch.zeros(2, dtype=torch.int64)
    promised, told = torch.tensor([[0.3, 0.1]]), torch.tensor([False, True])
    realised = chances.log().diff(dim=1)[:1]
    exact = made_up(chances, outputs(2, 2, gain=torch.cat([realised, promised])))
    assert gain(exact, labels, promised, told).item() == pytest.approx(0, abs=1e-12)
    assert gain(exact, labels).item() > 0.01


def test_gain_is_regressed_on_the_drop_of_the_entropy_where_that_is_wanted() -> None:
    """Surer of the wrong class: the entropy falls while the cross-entropy rises."""
    chances, labels = torch.tensor([[0.5, 0.2, 0.5], [0.5, 0.9, 0.9]]), torch.zeros(2, dtype=torch.int64)
    entropy = -chances * chances.log() - (1 - chances) * (1 - chances).log()
    fall = entropy[:, :-1] - entropy[:, 1:]
    assert fall[0, 0] > 0 > chances.log().diff(dim=1)[0, 0]
    exact, blind = made_up(chances, outputs(2, 2, gain=fall)), made_up(chances, outputs(2, 2))
    assert gain(exact, labels, target="entropy").item() == pytest.approx(0, abs=1e-12)
    assert gain(exact, labels).item() > 0.1
    assert gain(blind, labels, target="entropy").item() == pytest.approx(fall.square().mean().item())


@pytest.mark.parametrize("target", ["realised", "entropy"])
def test_the_wanted_gain_is_a_term_of_the_loss(target: str) -> None:
    seen, recipe = rolled(), Recipe(gain_target=target)
    nobody = torch.zeros(8, dtype=torch.bool)
    inputs = LossInputs(seen, SPLIT.labels, nobody, recipe.objective.at(0.5))
    found = terms(METHODS["ram"], inputs)["gain"]
    assert found.item() == pytest.approx(gain(seen, SPLIT.labels, target=target).item())
    other = {"realised": "entropy", "entropy": "realised"}[target]
    assert found.item() != pytest.approx(gain(seen, SPLIT.labels, target=other).item())


def test_loss_of_adaptive_time_by_hand() -> None:
    """Halts after glimpse 2 of 3 with R = 0.6, whatever the cost."""
    halt = torch.tensor([[0.0, 0.4, 0.9999]]).logit()
    seen = made_up(torch.tensor([[0.5, 0.6, 0.8, 0.1]]), outputs(1, 3, act=halt))
    by_hand = -torch.tensor(0.4 * 0.6 + 0.6 * 0.8).log() + COSTS.mean() * (2 + 0.6)
    assert act(seen, torch.tensor([0])).item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_loss_of_stopping_at_random_by_hand() -> None:
    stop = torch.tensor([[0.0, 0.4, 0.5]]).logit()
    seen = made_up(torch.tensor([[0.5, 0.6, 0.8, 0.9]]), outputs(1, 3, stochastic=stop))
    shares, nll = torch.tensor([0.4, 0.3, 0.3]), -torch.tensor([0.6, 0.8, 0.9]).log()
    by_hand = shares @ nll + COSTS.mean() * (shares @ torch.tensor([1.0, 2.0, 3.0]))
    assert stochastic(seen, torch.tensor([0])).item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_weights_of_halting_and_chances_of_stopping_sum_to_one() -> None:
    chances = torch.rand(100, 7, generator=torch.Generator().manual_seed(0))
    weights, taken, remainder = halting(chances)
    torch.testing.assert_close(weights.sum(-1), torch.ones(100))
    assert (weights >= 0).all() and len(taken.unique()) > 3
    assert torch.equal(weights.gather(1, taken[:, None] - 1)[:, 0], remainder)
    torch.testing.assert_close(stopping(chances).sum(-1), torch.ones(100))


def test_what_is_said_before_a_glimpse_is_after_the_one_before() -> None:
    said = torch.arange(6.0).view(1, 3, 2)
    assert after(said).tolist() == [[[2.0, 4.0, 0.0], [3.0, 5.0, 0.0]]]


@pytest.mark.parametrize("name", LOSSES)
def test_terms_reach_their_own_head_alone(name: str) -> None:
    network = tiny_network()
    pool = ImagePool([SPLIT])
    seen = explore(
        network,
        lambda index, locations: pool.glimpses(GEOMETRY.retina(), index, locations),
        torch.arange(8),
        GEOMETRY.grid(),
        3,
        mode="greedy",
    )
    LOSSES[name](seen, SPLIT.labels).backward()
    touched = {
        part for part, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }
    own = [f"heads.{name}.{layer}.{kind}" for layer in ("hidden", "last") for kind in ("weight", "bias")]
    assert touched == set(own)


def test_heads_of_a_rollout_are_those_of_its_states() -> None:
    seen, network = rolled(), tiny_network()
    first = network.said(network.initial(8))
    assert set(seen.said) == set(first) == set(HEADS)
    for name, said in first.items():
        torch.testing.assert_close(seen.said[name][:, 0], said)
    assert torch.equal(seen.gain, seen.said["gain"])


def test_heads_are_drawn_as_one_layer_and_then_their_last_ones() -> None:
    torch.manual_seed(5)
    hidden = torch.nn.Linear(16, len(HEADS) * WIDTH)
    last = [torch.nn.Linear(WIDTH, kind.outputs) for kind in HEADS.values()]
    torch.manual_seed(5)
    heads, read = StoppingHeads(16), torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    parts = hidden(read).relu().split(WIDTH, -1)
    for (name, said), layer, part in zip(heads(read).items(), last, parts, strict=True):
        torch.testing.assert_close(said, HEADS[name].meaning(layer(part)))


def numbered(network: HardAttention) -> dict[str, torch.Tensor]:
    """The weights as version 0.1 wrote them."""
    weights, names = network.state_dict(), ("gain", "accuracy_gain", "act", "stochastic")
    own = [name for name in weights if name.startswith("heads.")]
    heads = {name: weights.pop(name) for name in own}
    for kind in ("weight", "bias"):
        hidden = [heads[f"heads.{name}.hidden.{kind}"] for name in names]
        weights[f"stopping_heads.hidden.{kind}"] = torch.cat(hidden)
        for number, name in enumerate(names):
            weights[f"stopping_heads.last.{number}.{kind}"] = heads[f"heads.{name}.last.{kind}"]
    return weights


def test_weights_of_the_first_version_are_loaded() -> None:
    old, network = tiny_network(seed=1), tiny_network(seed=2)
    network.load_state_dict(numbered(old))
    for name, value in old.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


def test_a_head_that_weights_do_not_have_is_missed_by_its_rule_alone() -> None:
    """And one that the network does not have, of a package that is not installed, is left out."""
    network, weights = tiny_network(seed=2), tiny_network(seed=1).state_dict()
    known = {name: value for name, value in weights.items() if not name.startswith("heads.act.")}
    network.load_state_dict(known | {"heads.other.hidden.weight": torch.zeros(3)})
    said = network.said(network.initial(2))
    assert set(said) == {"gain", "accuracy_gain", "stochastic"}
    assert "act" not in costs_of(network, (1, 4, 4)).heads
    seen = replace(rolled(), said={name: values[:, None] for name, values in said.items()})
    assert set(rules_for(Predictions.of(seen))) == set(RULES) - {"act", "halting"}
    with pytest.raises(SettingsError, match="expected a network with a stopping head act, found"):
        act(seen, SPLIT.labels)


def test_a_new_head_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tiny_network(seed=1).state_dict()
    monkeypatch.setitem(HEADS._known, "doubt", HeadKind(2, torch.sigmoid))
    network = tiny_network(seed=2)
    assert network.said(network.initial(3))["doubt"].shape == (3, 2)
    network.load_state_dict(weights)
    assert "doubt" not in network.said(network.initial(3))


def test_a_rule_pays_for_the_head_that_it_needs() -> None:
    network = tiny_network()
    parts, costs = mflops_by_part(network, (1, 4, 4)), costs_of(network, (1, 4, 4))
    one, taken = 2 * (16 * 32 + 32) / 1e6, torch.tensor([1, 2, 3])
    assert all(parts[name] == pytest.approx(one) for name in HEADS)
    look = parts["policy"] + parts["glimpse and core"]
    plain = costs.spent(taken, 3, classifies=False)
    assert plain.tolist() == pytest.approx([n * look + parts["classifier"] for n in (1, 2, 3)])
    decided = costs.spent(taken, 3, "gain", classifies=False) - plain
    assert decided.tolist() == pytest.approx([one, 2 * one, 2 * one])  # nothing is decided after the last
    assert costs.times(4).spent(taken, 3, "act").tolist() == pytest.approx(
        (4 * costs.spent(taken, 3, "act")).tolist()
    )


def test_designs_teach_the_gain_of_their_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entropy less EPE, of the images that are supervised."""
    dataset, told = tiny_dataset(), list[tuple[torch.Tensor, torch.Tensor]]()
    store = tiny_store(tmp_path / "sequences.h5", dataset)
    rows, number = torch.arange(12), torch.arange(12.0)[:, None].expand(-1, 3)
    known = {"entropy": torch.full((12, 4), 0.75), "epe": number / 16}
    store.write(rows, replace(store.load(rows), **known))

    def noted(rollout: Rollout, labels: torch.Tensor, *designed: torch.Tensor) -> torch.Tensor:
        told.append((designed[0], designed[1]))
        assert torch.equal(rollout.locations[designed[1]], store.load(rows[:4]).locations)
        return gain(rollout, labels, *designed)

    monkeypatch.setattr("hardattn.objectives.stopping.gain", noted)
    recipe = Recipe(batch_size=16, hidden=16, jitter=0.0, mirror=False, gain_target="design")
    train(dataset, tmp_path / "run", store=store, recipe=recipe, budget=Budget(epochs=1), device="cpu")
    assert len(told) == 3 and all(supervised.tolist() == [False] * 12 + [True] * 4 for _, supervised in told)
    every = torch.cat([designed for designed, _ in told])
    assert every[:, 0].sort().values.tolist() == [0.75 - n / 16 for n in range(11, -1, -1)]  # each image once


def test_designs_of_other_images_cannot_teach_the_gain(tmp_path: Path) -> None:
    dataset = tiny_dataset()
    store = tiny_store(tmp_path / "sequences.h5", dataset)
    recipe = Recipe(batch_size=16, hidden=16, gain_target="design")
    with pytest.raises(SettingsError, match="found none; add --supervise"):
        train(dataset, tmp_path / "run", recipe=recipe, device="cpu")
    with pytest.raises(StoreError, match="found one order for all"):
        train(dataset, tmp_path / "run", method="nogs-all", store=store, recipe=recipe, device="cpu")
    unknown = replace(store.load(torch.arange(12)), epe=torch.full((12, 3), torch.nan))
    store.write(torch.arange(12), unknown)
    with pytest.raises(StoreError, match="expected the EPE of every glimpse"):
        train(dataset, tmp_path / "run", store=store, recipe=recipe, device="cpu")
