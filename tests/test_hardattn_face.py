"""The Python face: train in memory or into a folder, evaluate, save, load without a data set, interrupt."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hardattn_tiny import tiny_dataset, tiny_split, tiny_store

import hardattn
from data.dataset import DataSet
from data.errors import CheckpointError, DataError, SettingsError
from data.files import write_json
from data.sequences import Sequences
from data.version import SOFTWARE, __version__
from hardattn.baselines.training import BaselineSettings, train_baseline
from hardattn.evaluation import evaluate
from hardattn.loading import open_network
from hardattn.training import checkpoint
from hardattn.training.learner import Learner
from hardattn.training.settings import NetworkSettings, read_run
from supervision.source import SequenceSource
from supervision.store import SequenceStore

RECIPE = hardattn.Recipe(batch_size=16, hidden=16, learning_rate=1e-2)
SHORT = {"budget": hardattn.Budget(epochs=2), "recipe": RECIPE, "device": "cpu"}  # 6 iterations


@pytest.fixture(autouse=True)
def _check_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 2)


def weights(model: hardattn.Model) -> dict[str, torch.Tensor]:
    return model.run.network.state_dict()


def same(one: hardattn.Model, other: hardattn.Model) -> bool:
    pair = weights(one), weights(other)
    return pair[0].keys() == pair[1].keys() and all(torch.equal(pair[0][k], pair[1][k]) for k in pair[0])


def test_what_the_package_offers() -> None:
    assert hardattn.__version__ == __version__
    assert {"train", "load", "Model", "Budget", "Gain", "Fixed", "__version__"} <= set(hardattn.__all__)
    assert all(getattr(hardattn, name) is not None for name in hardattn.__all__)
    stub = Path(hardattn.__file__).with_name("__init__.pyi").read_text()
    assert eval(stub.split("__all__ = ")[1]) == sorted(hardattn.__all__)


def test_in_memory_nothing_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    model = hardattn.train(tiny_dataset(), **SHORT)
    assert not list(tmp_path.glob("*hardattn*")) and not list(tmp_path.rglob("*.safetensors"))
    kept = hardattn.train(tiny_dataset(), folder=tmp_path / "run", **SHORT)
    assert same(model, kept) and model.run.settings == kept.run.settings
    assert repr(model) == "Model(tiny label, ram, seed 0)" and model.classes == ("left", "right")


def test_evaluation_is_that_of_the_command(tmp_path: Path) -> None:
    model = hardattn.train(tiny_dataset(), folder=tmp_path / "run", **SHORT)
    written = evaluate(tmp_path / "run", dataset=tiny_dataset(), device="cpu").to_json()
    assert model.evaluate().to_json() == written == model.evaluate(tiny_dataset()["test"]).to_json()
    some = model.evaluate(stop=["gain"], budget_glimpses=2.0)
    assert {point.rule for point in some.curve} == {"fixed", "gain"} and some.within_budget


@pytest.mark.parametrize("as_path", [True, False])
def test_designs_are_a_store_or_its_path(tmp_path: Path, as_path: bool) -> None:
    store = tiny_store(tmp_path / "s.h5", tiny_dataset())
    model = hardattn.train(tiny_dataset(), str(store.path) if as_path else store, **SHORT)
    settings = model.run.glimpsing()[1]
    assert settings.method == "ps-nogs" and settings.supervision and settings.supervision.images == 12


class InMemory(SequenceSource):
    """Sequences without a file."""

    def __init__(self, store: SequenceStore) -> None:
        self.path, self.settings, self.ids, self.done = None, store.settings, store.ids, store.done
        self.candidates, self.steps, self.sequences = store.candidates, store.steps, store.load()

    def load(self, rows: torch.Tensor | None = None) -> Sequences:
        assert rows is None or torch.equal(rows, torch.arange(len(self.ids)))
        return self.sequences


def test_designs_in_memory_train_as_their_store_does(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s.h5", tiny_dataset())
    one = hardattn.train(tiny_dataset(), InMemory(store), folder=tmp_path / "run", **SHORT)
    assert same(one, hardattn.train(tiny_dataset(), store, **SHORT))
    assert read_run(tmp_path / "run").imitated == {"store": None, "supervised_images": None}


def test_saved_and_loaded_without_a_data_set(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s.h5", tiny_dataset())
    model = hardattn.train(tiny_dataset(), store, loss_at=(1, 2, 3), **SHORT)
    assert model.save(tmp_path / "kept") == tmp_path / "kept"
    loaded = hardattn.load(str(tmp_path / "kept"), device="cpu")
    assert same(model, loaded) and loaded.dataset is None
    assert json.dumps(loaded.run.settings.to_json()) == json.dumps(model.run.settings.to_json())
    images = tiny_dataset()["test"].images
    one, two = (each.predict(images, hardattn.Gain(0.02)) for each in (model, loaded))
    assert np.array_equal(one.probabilities, two.probabilities) and np.array_equal(one.places, two.places)
    assert loaded.stop_within(2.0) == model.stop_within(2.0)
    assert loaded.evaluate(tiny_dataset()["test"]).to_json() == model.evaluate().to_json()
    model.save(tmp_path / "kept")  # again
    other = hardattn.train(tiny_dataset(), seed=1, **SHORT)
    with pytest.raises(CheckpointError, match="expected .* found"):
        other.save(tmp_path / "kept")


def test_the_command_line_takes_what_was_saved(tmp_path: Path) -> None:
    model = hardattn.train(tiny_dataset(), **SHORT)
    model.save(tmp_path / "kept")
    assert evaluate(tmp_path / "kept", dataset=tiny_dataset(), device="cpu").to_json() == (
        model.evaluate().to_json()
    )


def test_without_its_data_set_it_needs_a_split_to_be_evaluated(tmp_path: Path) -> None:
    hardattn.train(tiny_dataset(), folder=tmp_path / "run", **SHORT)
    with pytest.raises(DataError, match="to say what its images were opened with, .* give the images"):
        hardattn.load(tmp_path / "run").evaluate()


def test_images_of_another_task_are_refused() -> None:
    model, test = hardattn.train(tiny_dataset(), **SHORT), tiny_dataset()["test"]
    large = DataSet.__getitem__(tiny_dataset(), "test").take(torch.arange(3))
    object.__setattr__(large, "images", torch.zeros(3, 20, 20, 1, dtype=torch.uint8))
    with pytest.raises(SettingsError, match=r"images \(N, 16, 16, 1\), found \(3, 20, 20, 1\)"):
        model.evaluate(large)
    more = test.take(torch.arange(3))
    object.__setattr__(more, "labels", torch.tensor([0, 1, 2]))
    with pytest.raises(SettingsError, match=r"labels \(N,\) of 2 classes, found \(3,\) up to 2"):
        model.evaluate(more)


def test_a_tracker_is_told_every_check() -> None:
    told = list[tuple[int, Mapping[str, float]]]()

    class Tracker:
        def log(self, metrics: Mapping[str, float], step: int) -> None:
            told.append((step, metrics))

    model = hardattn.train(tiny_dataset(), tracker=Tracker(), **SHORT)
    assert [step for step, _ in told] == [0, 2, 4, 6] == [line["iteration"] for line in model.run.log]
    assert {"nll", "accuracy", "seconds", "loss_classification"} <= told[-1][1].keys()
    assert [metrics["nll"] for _, metrics in told] == [line["nll"] for line in model.run.log]
    assert all(isinstance(value, (int, float)) for _, metrics in told for value in metrics.values())


def state() -> tuple[Any, ...]:
    return (torch.get_rng_state().tolist(), torch.get_num_threads(), torch.is_grad_enabled())


@pytest.mark.parametrize("during", ["step", "check"])
def test_an_interrupt_leaves_all_as_it_was_and_the_run_can_be_taken_up(
    tmp_path: Path, during: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hardattn.train(tiny_dataset(), folder=tmp_path / "whole", **SHORT)
    step = Learner.step

    def interrupted(self: Learner, *arguments: Any) -> None:
        step(self, *arguments)
        if self.iteration == 3:
            raise KeyboardInterrupt

    class Interrupting:
        def log(self, metrics: Mapping[str, float], step: int) -> None:
            if step == 4:
                raise KeyboardInterrupt

    torch.manual_seed(5)
    torch.set_num_threads(2)
    before, tracker = state(), Interrupting() if during == "check" else None
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            if during == "step":
                patch.setattr(Learner, "step", interrupted)
            hardattn.train(tiny_dataset(), folder=tmp_path / "parts", tracker=tracker, **SHORT)
        assert state() == before
    finally:
        torch.set_num_threads(1)
    last = {"step": 2, "check": 4}[during]
    assert [line["iteration"] for line in open_network(tmp_path / "parts").log][-1] == last
    assert same(hardattn.train(tiny_dataset(), folder=tmp_path / "parts", **SHORT), whole)


def test_an_interrupt_of_a_prediction_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    model = hardattn.train(tiny_dataset(), **SHORT)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    network, before = model.run.network.train(), state()
    monkeypatch.setattr(network, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.predict(tiny_split(3, 0).images)
    assert state() == before and network.training


def test_in_memory_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Learner, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hardattn.train(tiny_dataset(), **SHORT)
    assert not list(tmp_path.glob("*hardattn*")) and not list(tmp_path.rglob("*.safetensors"))


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s.h5", tiny_dataset())
    model = hardattn.train(tiny_dataset(), store, folder=tmp_path / "run", **SHORT)
    its = open_network(tmp_path / "run").settings
    assert isinstance(its, NetworkSettings) and its == model.run.settings and its.recipe == RECIPE
    run = read_run(tmp_path / "run")
    assert run.software == SOFTWARE and run.imitated == {"store": "s.h5", "supervised_images": None}
    train_baseline(tiny_dataset(), tmp_path / "cnn", "cnn", budget=hardattn.Budget(epochs=1), device="cpu")
    plain = open_network(tmp_path / "cnn").settings
    assert isinstance(plain, BaselineSettings) and plain.baseline == "cnn"


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"settings": {"fovea": 3}}, "unknown fovea, written by boed-hardattn 9.1"),
    (
        {"settings": {"recipe": {**asdict(RECIPE), "warmth": 1}}},
        "unknown warmth, written by boed-hardattn 9.1",
    ),
    ({"mood": "good"}, "unknown mood, written by boed-hardattn 9.1"),
    ({"settings": {"method": "vast"}}, "a method of .* found 'vast'"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_what_another_version_wrote_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    hardattn.train(tiny_dataset(), folder=tmp_path / "run", **SHORT)
    path = tmp_path / "run" / checkpoint.RUN
    values = checkpoint.read_json(path)
    settings = {**values["settings"], **change.pop("settings", {})}
    write_json(path, {**values, "software": "boed-hardattn 9.1", "settings": settings, **change})
    with pytest.raises(CheckpointError, match=words) as refused:
        hardattn.load(tmp_path / "run")
    assert len(str(refused.value).splitlines()) == 1


def test_what_lacks_a_setting_is_refused_by_name(tmp_path: Path) -> None:
    hardattn.train(tiny_dataset(), folder=tmp_path / "run", **SHORT)
    path = tmp_path / "run" / checkpoint.RUN
    values = checkpoint.read_json(path)
    del values["settings"]["budget"]
    write_json(path, values)
    with pytest.raises(CheckpointError, match="missing budget"):
        hardattn.load(tmp_path / "run")
