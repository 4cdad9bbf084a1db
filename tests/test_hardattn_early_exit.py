"""A network with exits: what it costs to leave, who leaves, and the whole network as the last exit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hardattn_tiny import tiny_dataset
from hypothesis import given
from hypothesis import strategies as some

from data.measures import resampling
from hardattn.baselines.early_exit import (
    confidence,
    confidence_thresholds,
    early_exit,
    exit_costs,
    exit_curve,
    exits_taken,
)
from hardattn.baselines.training import BaselineRecipe, train_baseline
from hardattn.evaluation import evaluate
from hardattn.stopping.flops import mflops
from hardattn.training.budget import Budget

LOGITS = torch.randn(200, 3, 4, generator=torch.Generator().manual_seed(0)) * 3
LABELS = torch.arange(200) % 4
COSTS = (0.1, 0.3, 0.7)
ALONE = np.ones((1, 200))  # one resample, of every image once


def test_costs_by_hand() -> None:
    """16 x 16 pixels, two stages of 8 and 16 channels, classifiers of 4 x 4 places each."""
    network = early_exit((3, 16, 16), 2, width=0.5).eval()
    first = 3 * 8 * 9 * 8 * 8 + 8 * 16 * 2
    second = 8 * 16 * 9 * 4 * 4 + 16 * 16 * 2
    assert exit_costs(network, (3, 16, 16)) == pytest.approx([2 * first / 1e6, 2 * (first + second) / 1e6])
    assert exit_costs(network, (3, 16, 16))[-1] == mflops(network, torch.zeros(1, 3, 16, 16))


def test_what_an_exit_says_does_not_need_the_later_stages() -> None:
    torch.manual_seed(0)
    network, images = early_exit((1, 32, 32), 3).eval(), torch.rand(5, 1, 32, 32)
    every = network.at_exits(images)
    assert every.shape == (5, 3, 3)
    for count in (1, 2):
        torch.testing.assert_close(network.at_exits(images, count), every[:, :count])
    torch.testing.assert_close(network(images), every[:, -1])


def test_copies_of_an_original_are_drawn_together_for_intervals() -> None:
    """Every image twice, as one group: the intervals of the images once, not narrower ones."""
    number = torch.arange(len(LABELS))
    once = exit_curve(LOGITS, LABELS, COSTS, [0.6], resampling(number, seed=0))
    twice = (LOGITS.repeat(2, 1, 1), LABELS.repeat(2), COSTS, [0.6], resampling(number.repeat(2), seed=0))
    for point, copied in zip(once, exit_curve(*twice), strict=True):
        assert point.intervals is not None and set(point.intervals) >= {"accuracy", "nll", "mflops"}
        assert copied.intervals is not None and set(copied.intervals) == set(point.intervals)
        for name, ends in point.intervals.items():
            assert copied.intervals[name] == pytest.approx(ends)
        low, high = point.intervals["accuracy"]
        assert low < point.accuracy < high


def test_threshold_one_is_the_whole_network() -> None:
    assert (exits_taken(LOGITS, 1.0) == 3).all()
    certain = torch.tensor([[[1000.0, 0.0], [0.0, 1.0]]])  # a confidence of exactly 1
    assert exits_taken(certain, 1.0).tolist() == [2]
    whole, *_, last = exit_curve(LOGITS, LABELS, COSTS, [1.0], ALONE)
    assert (whole.accuracy, whole.nll, whole.mflops) == (last.accuracy, last.nll, last.mflops)
    assert whole.mflops == pytest.approx(0.7) and (whole.rule, last.rule) == ("fixed", "confidence")


def test_threshold_nought_is_the_first_exit() -> None:
    points = exit_curve(LOGITS, LABELS, COSTS, [0.0], ALONE)
    first, left = points[1], points[-1]
    assert (first.rule, first.threshold) == ("exit", 1.0)
    assert (left.accuracy, left.nll) == (first.accuracy, first.nll)
    assert left.mflops == first.mflops == pytest.approx(0.1)


@given(some.floats(0, 1), some.floats(0, 1))
def test_a_higher_threshold_never_costs_less(one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert (exits_taken(LOGITS, low) <= exits_taken(LOGITS, high)).all()


def test_exits_have_the_figures_of_stopping_rules() -> None:
    points = exit_curve(
        LOGITS, LABELS, COSTS, [0.8], resampling(torch.arange(200), seed=0), read={"pixels": 256}
    )
    taken, right = exits_taken(LOGITS, 0.8), LOGITS.argmax(-1) == LABELS[:, None]
    told = right[torch.arange(200), taken - 1].double()
    sure = points[-1]
    assert sure.balanced_accuracy == pytest.approx(told.view(-1, 4).mean(0).mean().item())
    assert sure.mflops == pytest.approx(torch.tensor(COSTS)[taken - 1].mean().item())
    assert sure.stopped_at == torch.bincount(taken, minlength=4)[1:].tolist()
    assert [point.stopped_at for point in points[:3]] == [[0, 0, 200], [200, 0, 0], [0, 200, 0]]
    for point in points:
        assert point.pixels == 256 and point.mean_glimpses == 1 and point.intervals is not None
        assert point.intervals["pixels"] == [256, 256] and point.intervals["mean_glimpses"] == [1, 1]
        for name in ("mflops", "balanced_accuracy", "calibration_error"):
            low, high = point.intervals[name]
            assert low - 1e-9 <= getattr(point, name) <= high + 1e-9  # sums in another order


def test_an_image_leaves_at_the_first_exit_that_is_sure() -> None:
    taken, sure = exits_taken(LOGITS, 0.8), confidence(LOGITS)
    assert len(taken.unique()) == 3
    for image, number in enumerate(taken.tolist()):
        assert (sure[image, : number - 1] <= 0.8).all() and (number == 3 or sure[image, number - 1] > 0.8)


def test_thresholds_spread_the_leaving_and_a_single_exit_has_none() -> None:
    found = confidence_thresholds(LOGITS, count=5)
    assert found == sorted(found) and len(found) == 5 and 0.25 <= found[0] < found[-1] <= 1
    assert confidence_thresholds(LOGITS[:, :1]) == []
    points = exit_curve(LOGITS, LABELS, COSTS, found, ALONE)
    spread = [point.mflops for point in points if point.rule == "confidence"]
    assert spread == sorted(spread) and len(set(spread)) > 3


def test_all_exits_learn_and_the_evaluation_has_a_point_for_each_threshold(tmp_path: Path) -> None:
    recipe = BaselineRecipe(batch_size=16, width=0.5)
    options = {"recipe": recipe, "budget": Budget(epochs=60), "device": "cpu"}
    folder = train_baseline(tiny_dataset(), tmp_path / "run", "early-exit", **options)
    result = evaluate(folder, dataset=tiny_dataset(), device="cpu")
    assert list(result.accuracy_at) == ["1"]
    points = {
        rule: [point for point in result.curve if point.rule == rule] for rule in ("exit", "confidence")
    }
    assert len(points["exit"]) == 1 and points["exit"][0].accuracy > 0.9 < result.accuracy_at["1"]
    assert len(points["confidence"]) > 5
    assert all(point.mflops <= result.mflops_per_glimpse + 1e-9 for point in result.curve)
