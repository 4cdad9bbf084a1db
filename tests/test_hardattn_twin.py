"""Training, evaluation and prediction on a device that refuses to mix with the CPU, which hardly waits."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_network, tiny_split, tiny_store

import hardattn
from data.geometry import affine_crops
from data.gpu import mixed_precision
from data.plugins import options_of
from data.pool import ImagePool
from data.saliency import SaliencyMaps
from hardattn.baselines.training import train_baseline
from hardattn.evaluation import evaluate
from hardattn.model.looking import look_at_all, look_of
from hardattn.model.registry import CORES, POLICIES
from hardattn.model.rollout import Mode, explore
from hardattn.objectives.registry import METHODS
from hardattn.runs import train
from hardattn.training import learner, trainer
from hardattn.training.budget import Budget
from supervision.saliency import write_salient
from supervision.source import SequenceSource

SHORT: dict[str, Any] = {"budget": Budget(epochs=1), "batch_size": 48, "hidden": 16, "seed": 0}
STEPS = 3


def store_of(method: str, folder: Path) -> SequenceSource | None:
    """What the method imitates, if anything."""
    dataset = tiny_dataset()
    if method == "glimpsenet":
        maps = SaliencyMaps(lambda rows: dataset["train"].images[rows, ..., 0], "bright")
        return write_salient(folder / "s.h5", dataset, "train", maps, glimpses=STEPS)
    return tiny_store(folder / "s.h5", dataset) if METHODS[method].supervised else None


@pytest.fixture
def steps(twin: list[str], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Of each step of training where the CPU waited in it."""
    found = list[list[str]]()
    monkeypatch.setattr(trainer, "is_check", lambda iteration: True)  # every step is logged
    monkeypatch.setattr(
        learner.Validator, "__call__", lambda self, network: ({"nll": 0.0, "accuracy": 1.0}, {})
    )
    step = learner.Learner.step  # which all learners go by

    def counted(self: Any, *rest: Any) -> None:
        before = len(twin)
        step(self, *rest)
        found.append(twin[before:])

    monkeypatch.setattr(learner.Learner, "step", counted)
    return found


ALIKE = {name: replace(each, summary="", sequences=each.sequences[:9]) for name, each in METHODS.items()}
DIFFERENT = {repr(each): name for name, each in ALIKE.items()}
"""Methods that differ in more than in whose sequences they imitate."""


@pytest.mark.parametrize("method", DIFFERENT.values())
def test_a_step_of_training_waits_once(method: str, tmp_path: Path, steps: list[list[str]]) -> None:
    """For what is logged of it."""
    store = store_of(method, tmp_path)
    train(tiny_dataset(), tmp_path / "run", method=method, store=store, device="twin", **SHORT)
    (waits,) = steps
    assert len(waits) == 1 and waits[0].startswith("/hardattn/training/trainer.py"), waits


def test_images_that_stay_at_home_are_waited_for_once_a_glimpse(
    tmp_path: Path, steps: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the three glimpses that the network chooses, and the three together that it imitates."""
    monkeypatch.setattr(torch.get_device_module("twin"), "free", 0)
    store = store_of("ps-nogs", tmp_path)
    train(tiny_dataset(), tmp_path / "run", method="ps-nogs", store=store, device="twin", **SHORT)
    (waits,) = steps
    assert [wait.split(":")[0] for wait in waits] == ["/data/host.py"] * 4 + ["/hardattn/training/trainer.py"]


GEOMETRIES = {
    "plain": GEOMETRY,
    "several sides": replace(GEOMETRY, sides=(4, 6, 8, 16)),
    "a first glance": replace(GEOMETRY, first_glance=True),
    "two scales": replace(GEOMETRY, scales=2),
    "scales wider than the image": replace(GEOMETRY, scales=4),
}
TWO = [tiny_split(8, 0), tiny_split(6, 1)]


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_sensor_sees_the_same_and_nobody_waits(name: str, twin: list[str]) -> None:
    """Of two splits at places of all kinds, also outside of the image."""
    geometry, device = GEOMETRIES[name], torch.device("twin")
    index, places = torch.tensor([9, 0, 7, 8, 13]), geometry.grid().locations[::5]
    if geometry.first_glance:
        places = torch.cat([places, torch.tensor([[0, 0, 16]])])
    if not geometry.sides:
        places = torch.cat([places, torch.tensor([[-3, 2, 4], [14, 15, 4], [-9, 0, 4], [0, -1, 4]])])
    places = places.expand(len(index), -1, -1)
    expected = look_of(ImagePool(TWO), geometry.retina(), torch.device("cpu"))(index, places)
    look = look_of(ImagePool([split.to(device) for split in TWO]), geometry.known_retina(), device)
    index, places = index.to(device), places.to(device)
    look(index, places)  # for the thumbnails, which are kept
    twin.clear()
    found = look(index, places)
    assert not twin and torch.equal(found.cpu(), expected)
    at_home = look_of(ImagePool(TWO), geometry.known_retina(), device)(index, places)
    assert at_home.device.type == "twin" and torch.equal(at_home.cpu(), expected)


@pytest.mark.parametrize("name", POLICIES)
def test_no_glimpse_is_waited_for(name: str, twin: list[str]) -> None:
    core = {} if POLICIES[name].reads == "output" else {"core": "mean", "glimpses": STEPS}
    encoder = {"encoder": "residual"} if POLICIES[name].reads == "map" else {}
    network, device = tiny_network(policy=name, **core, **encoder), torch.device("twin")
    network.to(device)
    geometry = affine_crops(GEOMETRY, 4.0) if POLICIES[name].differentiable else GEOMETRY
    look = look_of(ImagePool([TWO[0].to(device)]), geometry.known_retina(), device)
    index, generator = torch.arange(5, device=device), torch.Generator(device)
    explored = partial(explore, network, look, index, GEOMETRY.grid(), STEPS, generator=generator)
    modes: tuple[Mode, ...] = ("sample", "greedy", "random", "centre")
    explored(mode="centre")  # sends what is sent once
    twin.clear()
    for mode in modes[:2] if POLICIES[name].differentiable else modes:
        explored(mode=mode)
    assert not twin


@pytest.mark.parametrize("name", [name for name in CORES if name != "mean"])
def test_a_core_in_mixed_precision_remembers_nearly_the_same(name: str, twin: list[str]) -> None:
    """Of numbers of 8 bits, over eight glimpses; the GRU is what most networks have."""
    torch.manual_seed(0)
    core = CORES[name](64, **({"glimpses": 8} if "glimpses" in options_of(CORES[name]) else {}))
    features, device = torch.randn(16, 8, 64), torch.device("twin")
    with torch.no_grad():
        expected = core.output(core.sequence(features, core.initial(16)))
        core.to(device)
        with mixed_precision(device):
            found = core.output(core.sequence(features.to(device), core.initial(16)))
    error = (found.float().cpu() - expected).abs()
    assert 1e-5 < error.max() < 0.06 and error.mean() < 0.004
    assert expected.abs().mean() > 0.1


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that was trained on the CPU."""
    folder = tmp_path_factory.mktemp("twin")
    return train(tiny_dataset(), folder / "run", device="cpu", **SHORT | {"budget": Budget(epochs=2)})


def test_evaluation_is_that_of_the_cpu(run_folder: Path, twin: list[str]) -> None:
    one, two = (
        evaluate(run_folder, dataset=tiny_dataset(), device=name, stop=["gain"]) for name in ("twin", "cpu")
    )
    assert one.accuracy_at == two.accuracy_at and one.nll_at == pytest.approx(two.nll_at, abs=1e-5)
    taken = [[point.mean_glimpses for point in each.curve] for each in (one, two)]
    assert len(taken[0]) > 3 and taken[0] == pytest.approx(taken[1])


@pytest.mark.parametrize("stop", [None, "gain=0.02", "entropy=0.3"])
def test_predictions_are_those_of_the_cpu(stop: str | None, run_folder: Path, twin: list[str]) -> None:
    images = tiny_dataset()["test"].images.numpy()
    one, two = (hardattn.load(run_folder, device=name).predict(images, stop) for name in ("twin", "cpu"))
    assert one.taken.tolist() == two.taken.tolist() and one.places.tolist() == two.places.tolist()
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-5)


def test_the_rollout_of_a_split_waits_as_often_for_one_glimpse_as_for_many(twin: list[str]) -> None:
    device = torch.device("twin")
    network, split, counts = tiny_network().to(device), TWO[0].to(device), list[int]()
    for steps in (1, 1, 5):
        twin.clear()
        look_at_all(network, split, GEOMETRY, steps, mode="greedy")
        counts.append(len(twin))
    assert counts[1] == counts[2]


def test_a_baseline_trains(tmp_path: Path, twin: list[str]) -> None:
    train_baseline(tiny_dataset(), tmp_path / "run", "cnn", budget=Budget(epochs=1), device="twin")
    found = evaluate(tmp_path / "run", dataset=tiny_dataset(), device="twin")
    assert 0 <= found.accuracy_at["1"] <= 1
