"""Stopping rules against arrays made by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from data.errors import SettingsError
from hardattn.model.heads import PONDER_COSTS, halting
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Predictions, Stops, gain, quantiles, rules_for, until_below

GAINS = torch.tensor([[0.0, 0.5, 0.1], [9.0, 0.1, 0.5], [0.0, 0.3, 0.3]])
SURE = torch.tensor([[0.6, 0.7, 0.9], [0.95, 0.6, 0.6], [0.5, 0.85, 0.7]])  # of the first of two classes
COST = PONDER_COSTS[2]


def predictions(gains: Tensor = GAINS, **said: Tensor) -> Predictions:
    """With SURE of the first class; the heads of COST say what is given, the others nothing."""
    none = torch.zeros(*gains.shape, len(PONDER_COSTS))
    parts = {"accuracy_gain": torch.zeros_like(gains), "act": none.clone(), "stochastic": none.clone()}
    for name, value in said.items():
        if parts[name].dim() == 3:
            parts[name][..., PONDER_COSTS.index(COST)] = value
        else:
            parts[name] = value
    log_probs = torch.stack([SURE, 1 - SURE], -1).log()[:, : gains.shape[1]]
    return Predictions(log_probs, {"gain": gains, **parts})


def stops(rule: str, threshold: float, predicted: Predictions) -> Stops:
    return RULES[rule].stops(predicted, threshold)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(-1.0, [3, 3, 3]), (0.2, [2, 1, 3]), (0.3, [2, 1, 3]), (0.4, [2, 1, 1]), (9.0, [1, 1, 1])],
)
def test_stops_before_the_first_glimpse_that_promises_too_little(
    threshold: float, expected: list[int]
) -> None:
    assert stops("gain", threshold, predictions()).taken.tolist() == expected
    other = predictions(GAINS * 0, accuracy_gain=GAINS)
    assert stops("accuracy-gain", threshold, other).taken.tolist() == expected


def test_confidence_and_entropy_look_at_the_prediction_so_far() -> None:
    assert stops("confidence", 0.2, predictions()).taken.tolist() == [3, 1, 2]
    nats = -0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    assert stops("entropy", nats, predictions()).taken.tolist() == [3, 1, 2]


def test_the_prediction_is_that_after_the_last_glimpse_taken() -> None:
    found = stops("gain", 0.2, predictions())
    assert found.log_probs[:, 0].exp().tolist() == pytest.approx([0.7, 0.95, 0.7])
    assert stops("fixed", 2, predictions()).log_probs[:, 0].exp().tolist() == pytest.approx([0.7, 0.6, 0.85])


def test_adaptive_time_averages_what_was_predicted_until_it_halts() -> None:
    halt = torch.tensor([[0.0, 0.25, 0.5], [0.0, 1.0, 0.0], [0.0, 0.5, 0.495]])  # before each glimpse
    found = stops("act", COST, predictions(act=halt))
    assert found.taken.tolist() == [3, 1, 2]
    by_hand = [0.25 * 0.6 + 0.5 * 0.7 + 0.25 * 0.9, 0.95, 0.5 * 0.5 + 0.5 * 0.85]
    assert found.log_probs[:, 0].exp().tolist() == pytest.approx(by_hand)
    torch.testing.assert_close(found.log_probs.exp().sum(1), torch.ones(3, dtype=torch.float64))


def test_stopping_at_random_is_fixed_by_the_number_of_the_image_and_as_often_as_it_should() -> None:
    many = torch.zeros(20_000, 3)
    stop = torch.tensor([0.0, 0.3, 0.5]).expand(len(many), -1)
    log_probs = torch.full((len(many), 3, 2), 0.5).log()
    heads = torch.zeros(*stop.shape, len(PONDER_COSTS))
    heads[..., 2] = stop
    predicted = Predictions(log_probs, {"stochastic": heads})
    taken = stops("stochastic", COST, predicted).taken
    shares = torch.bincount(taken, minlength=4)[1:] / len(many)
    torch.testing.assert_close(shares, torch.tensor([0.3, 0.35, 0.35]), atol=0.015, rtol=0)
    few = Predictions(log_probs[:5], {"stochastic": heads[:5]})
    assert stops("stochastic", COST, few).taken.tolist() == taken[:5].tolist()


def test_certain_stopping_needs_no_luck() -> None:
    certain = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert stops("stochastic", COST, predictions(stochastic=certain)).taken.tolist() == [1, 2, 3]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_takes_one_to_all_glimpses(rule: str) -> None:
    generator = torch.Generator().manual_seed(0)
    chances = [
        torch.rand(50, 6, 3, generator=generator).softmax(-1).log(),
        torch.rand(50, 6, generator=generator),
    ]
    heads = [torch.rand(50, 6, len(PONDER_COSTS), generator=generator) for _ in range(2)]
    predicted = Predictions(
        chances[0],
        {
            **dict.fromkeys(("gain", "accuracy_gain", "halting"), chances[1]),
            **{"act": heads[0], "stochastic": heads[1]},
        },
    )
    thresholds = RULES[rule].thresholds(predicted)
    taken = [stops(rule, value, predicted).taken for value in thresholds]
    assert all(t.min() >= 1 and t.max() <= 6 and len(t) == 50 for t in taken)
    if not RULES[rule].head or "gain" in rule:
        order = [t.sum().item() for t in taken]
        assert order == sorted(order, reverse=rule != "fixed") and max(order) == 6 * 50


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_does_not_classify_reads_the_class_where_it_stops_alone(rule: str) -> None:
    """What it costs is counted so: other predictions at all other glimpses change nothing."""
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.rand(2, 50, 6, 3, generator=generator).mul(4).log_softmax(-1)
    said = torch.rand(50, 6, generator=generator)
    heads = [torch.rand(50, 6, len(PONDER_COSTS), generator=generator) / 3 for _ in range(2)]
    each = dict.fromkeys(("gain", "accuracy_gain", "halting"), said)
    named = {**each, "act": heads[0], "stochastic": heads[1]}
    seen = Predictions(log_probs[0], named)
    same = []
    for threshold in RULES[rule].thresholds(seen):
        found = stops(rule, threshold, seen)
        here = torch.arange(1, 7) == found.taken[:, None]
        mixed = torch.where(here[..., None], log_probs[0], log_probs[1])
        again = stops(rule, threshold, replace(seen, log_probs=mixed))
        same.append(torch.equal(again.taken, found.taken) and torch.equal(again.log_probs, found.log_probs))
    assert all(same) == (not RULES[rule].classifies)
    assert (rule in ("entropy", "confidence", "act")) == RULES[rule].classifies


def test_first_glimpse_is_always_taken_and_alone_leaves_nothing_to_sweep() -> None:
    predicted = predictions(GAINS[:, :1])
    assert until_below(gain, predicted, 100.0).taken.tolist() == [1, 1, 1]
    assert quantiles(gain, predicted) == [] and RULES["fixed"].thresholds(predicted) == [1.0]
    assert all(RULES[rule].thresholds(predicted) == [] for rule in ("act", "halting", "stochastic"))


def test_halting_need_not_reach_one_exactly() -> None:
    """0.01 below it is enough: Graves's epsilon."""
    halt = torch.tensor([[0.5, 0.491, 0.3, 0.0], [0.5, 0.485, 0.3, 0.0]], dtype=torch.float64)
    weights, taken, remainder = halting(halt)
    assert taken.tolist() == [2, 3]
    torch.testing.assert_close(remainder, torch.tensor([0.5, 0.015], dtype=torch.float64))
    torch.testing.assert_close(weights.sum(1), torch.ones(2, dtype=torch.float64))
    assert weights[:, 3].tolist() == [0, 0]


def test_thresholds_spread_the_stopping_over_all_scores_but_the_first() -> None:
    gains = torch.linspace(0, 1, 64).view(8, 8)
    later = gains[:, 1:].double().flatten()
    found = torch.tensor(quantiles(gain, predictions_of(gains)), dtype=torch.float64)
    assert len(found) == 21
    torch.testing.assert_close(
        found[[0, 10, 20]], torch.stack([later.min(), later.quantile(0.5), later.max()])
    )
    below = (later[:, None] < found[1:-1] + 1e-9).double().mean(0)
    torch.testing.assert_close(below, torch.linspace(0.05, 0.95, 19, dtype=torch.float64), atol=0.02, rtol=0)


def predictions_of(gains: Tensor) -> Predictions:
    return Predictions(torch.zeros(*gains.shape, 2), {"gain": gains})


def test_ponder_costs_are_those_of_saved_heads() -> None:
    """A head of a saved network is known by its number alone."""
    assert RULES["act"].thresholds(predictions()) == [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4]
    assert RULES["act"].thresholds(predictions()) == RULES["stochastic"].thresholds(predictions())


def test_draws_of_images_are_those_of_one_seed() -> None:
    draws = torch.rand(50, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)[:, 0]
    half = torch.full((50, 2), 0.5)
    heads = torch.zeros(50, 2, len(PONDER_COSTS))
    heads[:, 1, 2] = 0.5
    seen = Predictions(half[..., None].expand(-1, -1, 2).log(), {"stochastic": heads})
    assert stops("stochastic", COST, seen).taken.tolist() == (1 + (draws >= 0.5).long()).tolist()


def test_rules_that_need_heads_are_refused_without() -> None:
    few = Predictions(predictions().log_probs, {"gain": GAINS})
    assert rules_for(few) == ["fixed", "gain", "entropy", "confidence"]
    for rule, head in (("act", "act"), ("accuracy-gain", "accuracy_gain"), ("stochastic", "stochastic")):
        with pytest.raises(
            SettingsError, match=f"expected a network with a stopping head {head}, found gain"
        ):
            stops(rule, COST, few)
    with pytest.raises(SettingsError, match="stopping head gain, found none"):
        stops("gain", 0.1, Predictions(few.log_probs))
