"""Prediction stops where the curve says, for every rule, and reads no pixel but those of its glimpses."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset

import hardattn
from data.dataset import DataSet
from data.errors import DataError, SettingsError
from data.geometry import Geometry
from hardattn.baselines.training import train_baseline
from hardattn.evaluation import looked_at
from hardattn.models import Model
from hardattn.prediction import NOWHERE
from hardattn.stopping.registry import RULES
from hardattn.stopping.stop import Stop
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe

RECIPE = Recipe(batch_size=16, hidden=16, learning_rate=1e-2)
STEPS = 4
GLANCING = Geometry(16, 16, 1, glimpse_size=4, per_axis=4, first_glance=True)


@cache
def model_of(method: str = "ram", geometry: Geometry = GEOMETRY, steps: int = STEPS) -> Model:
    """Trained for long enough that rules stop at different images after different glimpses."""
    options: dict[str, Any] = {"geometry": geometry, "glimpses": steps, "recipe": RECIPE, "device": "cpu"}
    return hardattn.train(tiny_dataset(), method=method, budget=Budget(epochs=4), **options)


def images_of(dataset: DataSet) -> np.ndarray:
    return dataset["test"].images.numpy()


def noted(model: Model, rule: str) -> list[Stop]:
    """The thresholds of a rule that were noted with the weights, or some of them."""
    found = [Stop(rule, point["threshold"]) for point in model.run.about["stopping"] if point["rule"] == rule]
    return found[:: max(1, len(found) // 5)]


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize(
    ("method", "geometry"),
    [
        ("ram", GEOMETRY),
        ("epe-head", GEOMETRY),
        ("ram", GLANCING),
        ("random", GEOMETRY),
        ("centre", GLANCING),
    ],
)
def test_answers_are_those_of_the_curve(rule: str, method: str, geometry: Geometry) -> None:
    able = "act" if rule == "halting" else method
    model, split = model_of(able, geometry), tiny_dataset()["test"]
    looks, _ = looked_at(model.run, split)
    many = set[int]()
    for stop in noted(model, rule):
        stops = RULES[rule].stops(looks.predictions, stop.threshold)
        answers = model.predict(split.images, stop)
        assert answers.taken.tolist() == stops.taken.tolist()
        np.testing.assert_allclose(answers.probabilities, stops.log_probs.exp(), atol=1e-6)
        assert answers.labels.tolist() == stops.log_probs.argmax(1).tolist()
        pixels = looks.read(geometry)["pixels"].gather(1, stops.taken[:, None] - 1).squeeze(1)
        assert answers.pixels.tolist() == pixels.tolist()
        for row, count in enumerate(stops.taken):
            assert answers.places[row, :count].tolist() == looks.locations[row, 0, :count].tolist()
            assert (answers.places[row, count:] == NOWHERE).all()
        many |= set(stops.taken.tolist())
    assert len(many) > 1  # else nothing was stopped early


def test_its_point_of_the_curve() -> None:
    model, split = model_of(), tiny_dataset()["test"]
    stop = noted(model, "entropy")[2]
    point = next(p for p in model.evaluate().curve if (p.rule, p.threshold) == (stop.rule, stop.threshold))
    answers = model.predict(split.images, stop)
    assert 1 < answers.taken.mean() < STEPS
    assert answers.taken.mean() == pytest.approx(point.mean_glimpses)
    assert (answers.labels == split.labels.numpy()).mean() == pytest.approx(point.accuracy)
    assert answers.pixels.mean() == pytest.approx(point.pixels)


@pytest.mark.parametrize("method", ["ram", "epe-head", "random"])
def test_no_other_pixel_is_read_than_those_of_the_glimpses_taken(method: str) -> None:
    model, images = model_of(method), images_of(tiny_dataset())
    stop = noted(model, "entropy")[2]
    answers, poisoned = model.predict(images, stop), 255 - images
    for row, count in enumerate(answers.taken):
        for top, left, _ in answers.places[row, :count]:
            square = (row, slice(top, top + 4), slice(left, left + 4))
            poisoned[square] = images[square]
    again = model.predict(poisoned, stop)
    assert (poisoned != images).mean() > 0.2
    assert np.array_equal(again.probabilities, answers.probabilities)
    assert np.array_equal(again.places, answers.places)


def test_images_that_stopped_leave_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images, sizes = model_of(), images_of(tiny_dataset()), list[int]()
    step = model.run.glimpsing()[0].step

    def counted(glimpses: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        sizes.append(len(glimpses))
        return step(glimpses, *rest)

    monkeypatch.setattr(model.run.network, "step", counted)
    answers = model.predict(images, noted(model, "entropy")[2])
    assert sizes == [int((answers.taken > step).sum()) for step in range(answers.taken.max())]
    assert sum(sizes) == answers.taken.sum() and sizes[-1] < sizes[0] == len(images)


@pytest.mark.parametrize("rule", ["fixed", "gain", "entropy"])
def test_of_one_glimpse(rule: str) -> None:
    model = model_of(steps=1)
    answers = model.predict(images_of(tiny_dataset()), Stop(rule, 1.0))
    assert answers.taken.tolist() == [1] * 30 and answers.places.shape == (30, 1, 3)


def test_one_image_is_as_in_a_batch() -> None:
    model, images = model_of(), images_of(tiny_dataset())
    stop = noted(model, "confidence")[2]
    every, one = model.predict(images, stop), model.predict(images[5], stop)
    assert len(one) == 1 and one.taken[0] == every.taken[5]
    np.testing.assert_allclose(one.probabilities[0], every.probabilities[5], atol=1e-6)
    assert one.names == [("left", "right")[every.labels[5]]]
    assert next(one.rows())["pixels"] == every.pixels[5]


def test_without_a_rule_all_glimpses_are_taken() -> None:
    model = model_of()
    answers = model.predict(images_of(tiny_dataset()))
    assert answers.taken.tolist() == [STEPS] * 30
    right = answers.labels == tiny_dataset()["test"].labels.numpy()
    assert right.mean() == pytest.approx(model.evaluate().accuracy_at[str(STEPS)])


def test_a_budget_is_met_by_the_best_rule_of_the_validation_images() -> None:
    model = model_of()
    stop = model.stop_within(2.0)
    points = [p for p in model.run.about["stopping"] if p["mean_glimpses"] <= 2]
    assert min(p["nll"] for p in points) == next(
        p["nll"] for p in points if (p["rule"], p["threshold"]) == (stop.rule, stop.threshold)
    )
    assert model.stop_within(2.0, "fixed").rule == "fixed"
    with pytest.raises(SettingsError, match="at least 1 mean glimpses, found 0.5"):
        model.stop_within(0.5)


REFUSED: list[tuple[Callable[[], Stop], str]] = [
    (lambda: Stop("gian", 0.1), "fixed, gain, .* found 'gian'"),
    (lambda: hardattn.Fixed(0), "from 1 on, found 0"),
    (lambda: Stop("fixed", 1.5), "whole number of glimpses from 1 on, found 1.5"),
    (lambda: hardattn.AdaptiveTime(0.3), "act with a cost of 0.002, .* found 0.3"),
    (lambda: Stop.parsed("gain"), "RULE=THRESHOLD with a number, found 'gain'"),
    (lambda: Stop.parsed("gain=much"), "RULE=THRESHOLD with a number, found 'gain=much'"),
]


@pytest.mark.parametrize(("make", "words"), REFUSED)
def test_rules_that_there_are_not_are_refused(make: Callable[[], Stop], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        make()


def test_more_glimpses_than_in_training_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"at most the 4 glimpses of training, found 5"):
        model_of().predict(images_of(tiny_dataset()), hardattn.Fixed(5))


def test_rules_as_objects() -> None:
    made = [
        hardattn.Fixed(3), hardattn.Gain(0.1), hardattn.AccuracyGain(0.1), hardattn.Entropy(0.1),
        hardattn.Confidence(0.1), hardattn.AdaptiveTime(0.1), hardattn.Halting(0.5),
        hardattn.Stochastic(0.1),
    ]  # fmt: skip
    assert [stop.rule for stop in made] == list(RULES)
    assert all(Stop.parsed(str(stop)) == stop for stop in made)


def test_a_baseline_sees_the_whole_image_once(tmp_path: Path) -> None:
    dataset = tiny_dataset()
    model = hardattn.load(
        train_baseline(dataset, tmp_path / "cnn", "cnn", budget=Budget(epochs=1), device="cpu"), device="cpu"
    )
    answers = model.predict(images_of(dataset))
    right = answers.labels == dataset["test"].labels.numpy()
    assert right.mean() == pytest.approx(model.evaluate(dataset["test"]).accuracy_at["1"])
    assert answers.taken.tolist() == [1] * 30 and answers.pixels.tolist() == [256] * 30
    with pytest.raises(SettingsError, match="no stopping rule for the baseline cnn, found gain=0.02"):
        model.predict(images_of(dataset), hardattn.Gain(0.02))
    with pytest.raises(SettingsError, match="found the baseline cnn"):
        model.stop_within(2)


def test_nothing_to_predict_is_refused() -> None:
    with pytest.raises(DataError, match="at least one image, found none"):
        model_of().predict(np.zeros((0, 16, 16, 1), np.uint8))


def test_the_network_is_in_its_mode_afterwards() -> None:
    model = model_of()
    model.run.network.train()
    model.predict(images_of(tiny_dataset()))
    model.evaluate()
    assert model.run.network.training
    model.run.network.eval()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("rule", ["entropy", "stochastic"])
def test_predictions_agree_between_cuda_and_cpu(rule: str, tmp_path: Path) -> None:
    folder = model_of().save(tmp_path / "kept")
    stop, images = noted(model_of(), rule)[2], images_of(tiny_dataset())
    one, two = (hardattn.load(folder, device=name).predict(images, stop) for name in ("cuda", "cpu"))
    assert one.taken.tolist() == two.taken.tolist() and one.places.tolist() == two.places.tolist()
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-4)
