"""Evaluation by the mean of several trajectories, against a computation by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_network

from data.errors import SettingsError
from data.places import places_at
from hardattn.baselines.training import train_baseline
from hardattn.cli.evaluate import table
from hardattn.cli.main import main
from hardattn.evaluation import evaluate
from hardattn.loading import open_trained
from hardattn.model.looking import look_at_all
from hardattn.model.rollout import Mode
from hardattn.recording import record
from hardattn.runs import train
from hardattn.stopping import trajectories
from hardattn.stopping.rules import Predictions
from hardattn.stopping.trajectories import Looks, predictions, trajectory_seed
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe

STEPS, SEED = 3, 7
TEST = tiny_dataset()["test"]


def predicted(count: int, mode: Mode = "greedy", seed: int = SEED) -> Looks:
    return predictions(tiny_network(), TEST, GEOMETRY, STEPS, mode=mode, seed=seed, trajectories=count)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    recipe = Recipe(batch_size=16, hidden=16)
    return train(
        tiny_dataset(), tmp_path / "run", recipe=recipe, budget=Budget(epochs=1), device="cpu", seed=2
    )


@pytest.mark.parametrize(("mode", "drawn"), [("greedy", "sample"), ("random", "random")])
def test_several_are_averaged_as_by_hand(mode: Mode, drawn: Mode) -> None:
    found = predicted(4, mode).predictions
    logits, gain, halt = found.log_probs, found.said["gain"], found.said["act"]
    each = [
        look_at_all(tiny_network(), TEST, GEOMETRY, STEPS, mode=drawn, seed=trajectory_seed(SEED, number))
        for number in range(4)
    ]
    assert len({tuple(seen.locations.flatten().tolist()) for seen in each}) == 4  # no two are the same
    for n in (0, 11, 29):
        for t in range(STEPS):
            weights = [seen.logits[n, t].double().exp() for seen in each]
            mean = sum((w / w.sum() for w in weights), torch.zeros(2)) / 4
            torch.testing.assert_close(logits[n, t].exp(), mean)
            assert gain[n, t].item() == pytest.approx(sum(seen.gain[n, t].item() for seen in each) / 4)
            halts = [seen.said["act"][n, t] for seen in each]
            torch.testing.assert_close(halt[n, t], sum(halts, torch.zeros(1)) / 4)


def test_one_is_the_greedy_one() -> None:
    seen = look_at_all(tiny_network(), TEST, GEOMETRY, STEPS, mode="greedy")
    found = predicted(1)
    assert torch.equal(found.predictions.log_probs, seen.logits.log_softmax(-1))
    assert torch.equal(found.predictions.said["gain"], seen.gain)
    assert torch.equal(found.locations[:, 0], seen.locations)


def test_pixels_of_several_are_those_of_any() -> None:
    corners = [[[[0, 0], [0, 2]], [[0, 0], [8, 8]]], [[[0, 0], [0, 4]], [[4, 4], [0, 2]]]]
    where = places_at(torch.tensor(corners), 4)
    seen = Predictions(torch.zeros(2, 2, 2))
    assert Looks(seen, where).read(GEOMETRY)["pixels"].tolist() == [[16, 40], [32, 48]]


def test_draws_are_fixed_by_the_seed() -> None:
    first = predicted(3).predictions.log_probs
    assert torch.equal(first, predicted(3).predictions.log_probs)
    assert not torch.equal(first, predicted(3, seed=SEED + 1).predictions.log_probs)


def test_fewer_trajectories_are_the_first_of_more(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = list[int]()

    def noted(*arguments: Any, seed: int, **options: Any) -> Any:
        seeds.append(seed)
        return look_at_all(*arguments, seed=seed, **options)

    monkeypatch.setattr(trajectories, "look_at_all", noted)
    predicted(2)
    predicted(3)
    assert seeds[:2] == seeds[2:4] and len(set(seeds)) == 3


def test_evaluation_says_how_many_and_what_they_cost(run: Path) -> None:
    one = evaluate(run, dataset=tiny_dataset(), device="cpu")
    assert one.trajectories == 1 and "one trajectory" in table(one)
    five = evaluate(run, dataset=tiny_dataset(), device="cpu", trajectories=5)
    assert json.loads((run / "evaluation.json").read_text()) == five.to_json()
    assert five.to_json()["trajectories"] == 5 and "mean of 5 trajectories" in table(five)
    assert five.mflops_per_glimpse == pytest.approx(5 * one.mflops_per_glimpse)
    fixed = [[p.mflops for p in result.curve if p.rule == "fixed"] for result in (one, five)]
    assert fixed[1] == pytest.approx([5 * cost for cost in fixed[0]])


def test_figures_are_those_of_the_mean_prediction(run: Path) -> None:
    found = evaluate(run, dataset=tiny_dataset(), device="cpu", trajectories=3)
    trained = open_trained(run, dataset=tiny_dataset(), device="cpu").network
    looks = predictions(trained, TEST, GEOMETRY, STEPS, mode="greedy", seed=2, trajectories=3)
    logits = looks.predictions.log_probs
    right = (logits.argmax(2) == TEST.labels[:, None]).double().mean(0)
    told = logits.gather(2, TEST.labels[:, None, None].expand(-1, STEPS, 1))[..., 0]
    assert list(found.accuracy_at.values()) == pytest.approx(right.tolist())
    assert list(found.nll_at.values()) == pytest.approx((-told.mean(0)).tolist(), rel=1e-5)


@pytest.mark.parametrize("count", [0, -2])
def test_less_than_one_is_refused(run: Path, count: int) -> None:
    with pytest.raises(SettingsError, match=f"at least 1 trajectory, found {count}"):
        evaluate(run, dataset=tiny_dataset(), device="cpu", trajectories=count)
    assert not (run / "evaluation.json").exists()
    done = CliRunner().invoke(main, ["evaluate", str(run), f"--trajectories={count}"])
    assert_refused(done, "--trajectories of at least 1", f"found {count}")


def test_a_baseline_has_one(tmp_path: Path) -> None:
    options: dict[str, Any] = {"budget": Budget(epochs=0.1), "device": "cpu", "hidden": 8}
    folder = train_baseline(tiny_dataset(), tmp_path / "run", "fc", **options)
    with pytest.raises(SettingsError, match="expected 1 trajectory of a baseline, .* found 2"):
        evaluate(folder, dataset=tiny_dataset(), device="cpu", trajectories=2)
    assert evaluate(folder, dataset=tiny_dataset(), device="cpu").trajectories == 1
    with pytest.raises(SettingsError, match="learned where to look, found one of fc"):
        record(folder, dataset=tiny_dataset(), device="cpu")
