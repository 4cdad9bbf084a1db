"""What people are likely to get wrong in Python: one line of GlimpseError, or what they meant."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_store

import boed
import hardattn
from data import DataSet, load
from data.errors import CheckpointError, DataError, SettingsError, StoreError
from hardattn.training import checkpoint
from hardattn.training.guidance import supervision_settings

SHORT: dict[str, Any] = {
    "recipe": hardattn.Recipe(batch_size=16, hidden=16),
    "budget": hardattn.Budget(epochs=0.5),
    "device": "cpu",
}


@pytest.fixture(scope="module")
def model() -> hardattn.Model:
    return hardattn.train(tiny_dataset(), **SHORT)


def arrays(side: int, count: int = 60) -> DataSet:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, side, side), dtype=np.uint8)
    return DataSet.from_arrays(images, np.arange(count) % 3, glimpse_size=4, glimpses=2)


def test_a_network_is_evaluated_on_the_images_that_its_data_set_was_opened_with(tmp_path: Path) -> None:
    """Those of another seed here, which its name alone does not open."""
    for folder in (None, tmp_path / "run"):
        model = hardattn.train(load("digits", seed=3), glimpses=1, folder=folder, **SHORT)
        model.save(tmp_path / f"kept-{folder is None}")
        again = hardattn.load(tmp_path / f"kept-{folder is None}", device="cpu")
        assert again.run.origin == {"name": "digits", "data_root": None, "seed": 3}
        assert again.evaluate().to_json() == model.evaluate().to_json()


STOPS: list[tuple[Any, str]] = [
    ("fixed=inf", "expected a number as threshold of fixed, found inf"),
    ("gain=nan", "expected a number as threshold of gain, found nan"),
    ("gane=1", "expected a stopping rule of fixed, gain, .*; found 'gane'"),
    (0.02, r"expected a stopping rule such as hardattn\.Gain\(0\.02\), found 0\.02"),
    (hardattn.Gain, "expected a stopping rule such as .* found <class"),
]


@pytest.mark.parametrize(("stop", "message"), STOPS, ids=[str(stop) for stop, _ in STOPS])
def test_what_is_no_stopping_rule_is_refused(model: hardattn.Model, stop: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        model.predict(tiny_dataset()["test"].images, stop)


def test_a_rule_may_be_written_as_on_the_command_line(model: hardattn.Model) -> None:
    images = tiny_dataset()["test"].images
    one, other = (model.predict(images, stop) for stop in ("fixed=2", hardattn.Fixed(2)))
    assert one.taken.tolist() == other.taken.tolist() == [2] * len(images)


def test_infinity_stops_at_once_or_never(model: hardattn.Model) -> None:
    images = tiny_dataset()["test"].images
    assert set(model.predict(images, hardattn.Gain(math.inf)).taken.tolist()) == {1}
    assert set(model.predict(images, hardattn.Gain(-math.inf)).taken.tolist()) == {3}


CALLS: list[tuple[Callable[[hardattn.Model], Any], str]] = [
    (lambda model: hardattn.Gain("a"), "number as threshold of gain, found 'a'"),
    (lambda model: model.stop_within(2, "nope"), "stopping rule of fixed, .*; found 'nope'"),
    (lambda model: model.evaluate(tiny_dataset()), "expected a split, .* found DataSet"),
    (lambda model: model.evaluate(tiny_dataset()["test"].take(torch.arange(0))), "a split with images"),
    (lambda model: hardattn.train(tiny_dataset()["train"]), "expected a data set, .* found Split"),
    (lambda model: boed.fit(tiny_dataset()["train"]), "expected a data set, .* found Split"),
    (lambda model: hardattn.Budget(minutes="2"), "expected a finite budget above 0, found '2'"),
    (lambda model: hardattn.Recipe(learning_rate=math.nan), "learning-rate of .* found nan"),
    (lambda model: hardattn.Recipe(learning_rate=0.0), "learning-rate of .* found 0.0"),
    (lambda model: hardattn.train(tiny_dataset(), budget=2), "a budget such as .* found 2"),
    (
        lambda model: hardattn.train(tiny_dataset(), learning_rat=3),
        "options of .*learning_rate.*; found learning_rat",
    ),
    (lambda model: boed.fit(tiny_dataset(), iteration=3), "settings of .*iterations.*; found iteration"),
    (
        lambda model: boed.design(tiny_dataset(), tiny_dataset()["design"]),
        "what boed.fit gave, found DataSet",
    ),
    (lambda model: hardattn.Recipe(average=2), "average of 0 to 1, found 2"),
    (lambda model: hardattn.Recipe(jitter=-1), "jitter of 0 to 1, found -1"),
    (lambda model: hardattn.Recipe(batch_size=1, batch_norm=True), "at least 2 images with --batch-norm"),
    (lambda model: hardattn.Recipe(batch_size=0), "batch size of at least 1, found 0"),
]


@pytest.mark.parametrize(("call", "message"), CALLS, ids=[message for _, message in CALLS])
def test_slips_are_refused_in_one_line(model: hardattn.Model, call: Callable[..., Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        call(model)
    assert "\n" not in str(refused.value)


def test_no_path_is_no_folder(model: hardattn.Model) -> None:
    with pytest.raises(DataError, match="expected a path of images, found an empty one"):
        model.predict("")


def test_a_folder_called_as_an_image_is_passed_over(model: hardattn.Model, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "x.png").mkdir()
    Image.fromarray(tiny_dataset()["test"].images[0].squeeze(-1).numpy()).save(tmp_path / "y.png")
    assert len(model.predict(tmp_path).labels) == 1


def test_designs_are_for_images_of_the_size_that_was_fitted(tmp_path: Path) -> None:
    fitted = boed.fit(arrays(20), iterations=4, device="cpu")
    with pytest.raises(SettingsError, match=r"images .* \(20, 20, 1\), as fitted, found \(16, 16, 1\)"):
        boed.design(fitted, arrays(16)["design"])
    with pytest.raises(SettingsError, match="expected a split, .* found DataSet"):
        boed.design(fitted, arrays(20))
    with pytest.raises(SettingsError, match="expected a search of greedy, .*; found 'nope'"):
        boed.design(fitted, arrays(20)["design"], search="nope")
    store = tiny_store(tmp_path / "s.h5", tiny_dataset())
    with pytest.raises(StoreError, match=r"\(20, 20, 1\) in .*s\.h5, found those of \(16, 16, 1\)"):
        hardattn.train(arrays(20), store, **SHORT)


def test_the_generators_are_as_before(model: hardattn.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "kept")
    before = torch.random.get_rng_state()
    hardattn.load(tmp_path / "kept", device="cpu").evaluate(tiny_dataset()["test"])
    hardattn.train(tiny_dataset(), **SHORT)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_sequences_are_known_again_by_their_corners(tmp_path: Path) -> None:
    """As version 0.1 did, whose runs are taken up."""
    store = tiny_store(tmp_path / "s.h5", tiny_dataset())
    places = store.load().locations
    known = supervision_settings(store, (tiny_dataset()["design"], places), tiny_dataset().geometry)
    corners = places[..., :2].flatten()
    assert known is not None
    assert known.checksum == sum(n * value for n, value in enumerate(corners.tolist(), start=1))


def test_what_differs_of_settings_is_said_and_no_more(tmp_path: Path) -> None:
    ours = {"geometry": GEOMETRY.to_json(), "seed": 0}
    with pytest.raises(Exception, match='with geometry = {"per_axis": 3}, found {"per_axis": 2}; use'):
        checkpoint.require_same(
            tmp_path / "run.json",
            {**ours, "geometry": {**ours["geometry"], "per_axis": 3}},
            {**ours, "geometry": {**ours["geometry"], "per_axis": 2}},
        )


def test_many_images_are_read_with_a_word_on_how_far(
    model: hardattn.Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = list(tiny_dataset()["test"].images)
    whole = model.predict(images)
    assert not capsys.readouterr().err
    monkeypatch.setattr("hardattn.images.SILENT", 5)
    assert np.array_equal(model.predict(images).probabilities, whole.probabilities)
    assert f"read images: 0 % of {len(images)} image" in capsys.readouterr().err


def test_a_finished_run_needs_nothing_of_its_state(tmp_path: Path) -> None:
    """Which another version may have written in another order."""
    from data.tensors import load_tensors, save_tensors

    model = hardattn.train(tiny_dataset(), folder=tmp_path / "run", **SHORT)
    last = tmp_path / "run" / checkpoint.LAST
    tensors, about = load_tensors(last, "")
    other = {name: value for name, value in tensors.items() if not name.startswith("optimiser.")}
    save_tensors(last, other | {"optimiser.0.exp_avg": torch.zeros(5, 3)}, about)
    again = hardattn.train(tiny_dataset(), folder=tmp_path / "run", **SHORT)
    assert again.evaluate().to_json() == model.evaluate().to_json()
    save_tensors(last, other | {"optimiser.0.exp_avg": torch.zeros(5, 3)}, about | {"iteration": 0})
    with pytest.raises(CheckpointError, match="of this network and version, found another"):
        hardattn.train(tiny_dataset(), folder=tmp_path / "run", **SHORT)
