"""The accuracy-compute curve, budgets and the files of an evaluation."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from hardattn_tiny import tiny_dataset

from data.errors import SettingsError
from data.measures import resampling
from data.tensors import load_tensors
from hardattn.baselines.training import train_baseline
from hardattn.cli.evaluate import table
from hardattn.cli.main import main
from hardattn.evaluation import Evaluation, evaluate
from hardattn.runs import train
from hardattn.stopping.curve import BRIEF, brief_curve, curve, settings_within
from hardattn.stopping.flops import Costs
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Point, Predictions
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe

GAINS = torch.tensor([[0.0, 0.5, 0.1], [9.0, 0.1, 0.5], [0.0, 0.3, 0.3]])
COSTS = Costs(2.0, 0.5, {"gain": 0.25}, {})
PIXELS = torch.tensor([[16, 32, 48], [16, 16, 16], [16, 24, 32]])


def seen() -> Predictions:
    """Right where the rule of a gain of 0.2 stops: after 2, 1 and 3 glimpses."""
    right, wrong = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    rows = ([wrong, right, wrong], [right, wrong, wrong], [wrong, wrong, right])
    return Predictions(torch.stack([torch.stack(row) for row in rows]).log_softmax(-1), {"gain": GAINS})


def points(*settings: tuple[str, float], labels: tuple[int, ...] = (0, 0, 0)) -> list[Point]:
    counts = resampling(torch.arange(3), seed=0, resamples=50)
    return curve(seen(), torch.tensor(labels), settings, COSTS, {"pixels": PIXELS}, counts)


def test_curve_by_hand() -> None:
    fixed, gain = points(("fixed", 2.0), ("gain", 0.2))
    assert (fixed.mean_glimpses, fixed.mflops, fixed.accuracy) == pytest.approx((2, 4 + 0.5, 1 / 3))
    mean = (2 + 0.5 + 0.25 + 4 + 0.5 + 0.5 + 6 + 0.5 + 0.5) / 3
    assert (gain.mean_glimpses, gain.mflops, gain.accuracy) == pytest.approx((2, mean, 1))
    assert gain.nll == pytest.approx(0.126928, abs=1e-5)  # log(1 + exp(-2))
    assert gain.pixels == pytest.approx((32 + 16 + 32) / 3) and gain.stopped_at == [1, 1, 1]
    assert gain.calibration_error == pytest.approx(1 - 0.880797, abs=1e-5)
    assert fixed.stopped_at == [0, 3, 0] and fixed.pixels == pytest.approx((32 + 16 + 24) / 3)


def test_balanced_accuracy_weighs_classes_alike() -> None:
    (point,) = points(("fixed", 2.0), labels=(0, 0, 1))  # says 0, 1, 1
    assert point.accuracy == pytest.approx(2 / 3) and point.balanced_accuracy == pytest.approx((0.5 + 1) / 2)


def test_intervals_are_those_of_the_resampled_images() -> None:
    gain, fixed = points(("gain", 0.2), ("fixed", 1.0))
    assert gain.intervals is not None and fixed.intervals is not None
    assert gain.intervals["accuracy"] == [1.0, 1.0] and fixed.intervals["mean_glimpses"] == [1.0, 1.0]
    counts = resampling(torch.arange(3), seed=0, resamples=50)
    each = {
        "mean_glimpses": [2.0, 1.0, 3.0],
        "mflops": [2 * 2 + 0.5 + 2 * 0.25, 2 + 0.5 + 0.25, 3 * 2 + 0.5 + 2 * 0.25],
        "pixels": [32.0, 16.0, 32.0],
    }
    for name, values in each.items():
        drawn = counts @ np.array(values) / 3
        assert gain.intervals[name] == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist())
    assert {"balanced_accuracy", "calibration_error"} <= set(gain.intervals)


def test_the_sweep_of_validation_images_is_part_of_the_curve() -> None:
    labels = torch.zeros(3, dtype=torch.int64)
    brief = brief_curve(seen(), labels, COSTS)
    assert {point["rule"] for point in brief} == {"fixed", "gain", "entropy", "confidence"}  # no other head
    full = points(*[(point["rule"], point["threshold"]) for point in brief])
    assert brief == [{name: getattr(point, name) for name in BRIEF} for point in full]


def brief(rule: str, threshold: float, glimpses: float, nll: float) -> dict[str, Any]:
    figures = {"mean_glimpses": glimpses, "mflops": 2 * glimpses, "accuracy": 0.5, "nll": nll}
    return {"rule": rule, "threshold": threshold, **figures}


def test_a_budget_is_met_by_the_best_threshold_on_validation_images() -> None:
    swept = [brief("gain", 0.1, 3.0, 0.1), brief("gain", 0.2, 1.9, 0.2), brief("gain", 0.3, 1.2, 0.3)]
    swept += [brief("act", 0.1, 2.5, 0.1), brief("fixed", 1.0, 1.0, 0.5), brief("fixed", 2.0, 2.0, 0.4)]
    rules = ["fixed", "gain", "act"]
    assert dict(settings_within(swept, rules, {"mean_glimpses": 2.0})) == {"gain": 0.2, "fixed": 2.0}
    assert dict(settings_within(swept, rules, {"mflops": 2.5})) == {"gain": 0.3, "fixed": 1.0}
    both = {"mflops": 100.0, "mean_glimpses": 1.5}
    assert dict(settings_within(swept, ["gain"], both)) == {"gain": 0.3}
    with pytest.raises(SettingsError, match="a budget of at least 1.2 mean glimpses, found 1; raise it"):
        settings_within(swept, ["gain"], {"mean_glimpses": 1.0})
    with pytest.raises(SettingsError, match="found 1e-06; raise it"):  # the one that is not met
        settings_within(swept, ["gain"], {"mean_glimpses": 9.0, "mflops": 1e-6})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curve") / "run"
    recipe = Recipe(batch_size=16, hidden=16)
    return train(tiny_dataset(), folder, recipe=recipe, budget=Budget(epochs=2), device="cpu")


def evaluated(run: Path, **options: Any) -> Evaluation:
    return evaluate(run, dataset=tiny_dataset(), device="cpu", **options)


def test_all_rules_are_in_one_file_by_default(run: Path) -> None:
    result = evaluated(run)
    found = json.loads((run / "evaluation.json").read_text())["curve"]
    assert {point["rule"] for point in found} == set(RULES) - {"halting"}
    rows = list(csv.DictReader((run / "curve.csv").read_text().splitlines()))
    assert [float(row["accuracy"]) for row in rows] == [point.accuracy for point in result.curve]
    assert all(sum(int(row[f"stopped_at_{t}"]) for t in (1, 2, 3)) == 30 for row in rows)
    assert all(
        float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"]) for row in rows
    )
    _, about = load_tensors(run / checkpoint.MODEL, checkpoint.COMMAND)
    assert [(p["rule"], p["threshold"]) for p in about["stopping"]] == [
        (p.rule, p.threshold) for p in result.curve
    ]
    assert all(rule in table(result) for rule in RULES if rule not in ("fixed", "gain", "halting"))


def test_a_rule_alone_comes_with_fixed_glimpses(run: Path) -> None:
    result = evaluated(run, stop=["act"])
    assert {point.rule for point in result.curve} == {"fixed", "act"}
    assert list(result.accuracy_at) == ["1", "2", "3"]


def test_budget_is_met_on_the_validation_images(run: Path) -> None:
    result = evaluated(run, stop=["gain"], budget_glimpses=2.0)
    _, about = load_tensors(run / checkpoint.MODEL, checkpoint.COMMAND)
    kept = {(point["rule"], point["threshold"]): point for point in about["stopping"]}
    assert [point.rule for point in result.within_budget] == ["fixed", "gain"]
    for point in result.within_budget:
        assert kept[point.rule, point.threshold]["mean_glimpses"] <= 2.0
        assert replace(point) in result.curve
    assert result.budget == {"mean_glimpses": 2.0} and "gain, within the budget" in table(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stop", "luck"], "stochastic; found 'luck'"),
        (["--budget-glimpses", "0.5"], "at least 1 mean glimpses, found 0.5"),
        (["--budget-mflops", "0"], "mflops, found 0"),
        (["--budget-glimpses", "2", "--trajectories", "2"], "expected 1 trajectory with a budget"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.setattr("hardattn.loading.reopen", lambda *_: tiny_dataset())
    done = CliRunner().invoke(main, ["evaluate", str(run), "--device", "cpu", *options])
    assert_refused(done, message)


def test_a_baseline_has_nothing_to_stop(tmp_path: Path) -> None:
    options: dict[str, Any] = {"budget": Budget(epochs=0.1), "device": "cpu", "hidden": 8}
    folder = train_baseline(tiny_dataset(), tmp_path / "run", "fc", **options)
    for chosen in ({"stop": ["gain"]}, {"budget_glimpses": 1.0}):
        with pytest.raises(
            SettingsError, match="expected glimpses with --stop or a budget, found a baseline"
        ):
            evaluated(folder, **chosen)
    assert (evaluated(folder).curve[0].rule, (folder / "curve.csv").exists()) == ("fixed", True)
