"""The benchmark of prediction: its line, its thresholds, and its figures of a tiny network."""

import json

import pytest
import torch
from click.testing import CliRunner
from hardattn_tiny import tiny_dataset

import benchmarks.prediction
import hardattn
from benchmarks.prediction import Line, main, stops_of, tiled, times_of
from hardattn.models import Model

RECIPE = hardattn.Recipe(batch_size=16, hidden=16, learning_rate=1e-2)


@pytest.fixture(scope="module")
def model() -> Model:
    return hardattn.train(tiny_dataset(), budget=hardattn.Budget(epochs=4), recipe=RECIPE, device="cpu")


def test_the_line_of_times_that_scatter() -> None:
    line = Line.through([1, 2, 3, 4], [3.0, 4.0, 5.0, 8.0])
    assert (line.start, line.each) == pytest.approx((1.0, 1.6))
    assert line.explained == pytest.approx(1 - 1.2 / 14)  # residuals 0.4, -0.2, -0.8, 0.6; squared sum 1.2


def test_thresholds_are_spread_over_glimpses(model: Model) -> None:
    stops = stops_of(model, "entropy", points=4)
    noted = {point["threshold"]: point for point in model.run.about["stopping"] if point["rule"] == "entropy"}
    means = [noted[stop.threshold]["mean_glimpses"] for stop in stops]
    assert means == sorted(means) and means[0] < 1.5
    assert means[-1] == max(point["mean_glimpses"] for point in noted.values())


def test_images_are_taken_over_and_over() -> None:
    split = tiny_dataset()["test"]
    assert torch.equal(tiled(split, 70)[60:], split.images[:10])


def test_thresholds_take_turns_forth_and_back(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    order, images = list[str](), tiny_dataset()["test"].images
    monkeypatch.setattr(Model, "predict", lambda _, images, stop: order.append(str(stop)))
    found = times_of(model, images, [hardattn.Fixed(1), hardattn.Fixed(2)], rounds=2)
    assert order == ["fixed=2", "fixed=1", "fixed=2", "fixed=2", "fixed=1"]
    assert found.shape == (2, 2, 2) and (found[0] > 0).all()


def test_the_figures(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    split = tiny_dataset()["test"]
    monkeypatch.setattr(benchmarks.prediction, "opened", lambda *_: (model, split))
    options = ["--rule", "entropy", "--images", "60", "--rounds", "1"]
    machine, human = (CliRunner().invoke(main, [*options, *more]) for more in (["--json"], []))
    found = json.loads(machine.stdout)
    assert all(set(line) == {"start", "each", "explained"} for line in found["lines"].values())
    assert all(point["as_on_the_curve"] == 1 for point in found["points"])
    assert all(point["largest_difference"] < 1e-5 for point in found["points"])
    last, point = found["points"][-1], max(model.evaluate().curve, key=lambda its: its.mean_glimpses)
    assert last["share"] == last["cpu_share"] == 1 and last["mean_glimpses"] <= point.mean_glimpses
    assert "us per glimpse, which explains" in human.stdout and last["stop"] in human.stdout


def test_a_run_that_is_not_there_is_one_line() -> None:
    done = CliRunner().invoke(main, ["nowhere"])
    assert done.exit_code == 1 and done.stderr.startswith("error: expected the folder of a training run")
    assert len(done.stderr.splitlines()) == 1
