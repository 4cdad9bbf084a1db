"""What the rows of a table imitate: recorded sequences, and designs as `boed generate` makes them."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from boed_tiny import timeless
from click.testing import CliRunner
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_store
from reproduce_tiny import use_table, write_mnist

import boed
import boed.search.adaptivity
from boed.approximations import Approximations
from boed.cli.main import main
from boed.combination import Combination
from boed.part_files import POSTERIOR
from boed.search.registry import SOURCES
from data.dataset import DataSet
from data.errors import SettingsError, StoreError
from data.geometry import Geometry
from data.registry import load
from hardattn.experiments import row_sequences
from hardattn.experiments.reproduce import trainings
from hardattn.experiments.reproduce.trainings import reproduce
from hardattn.experiments.row_sequences import designed, made_in
from hardattn.loading import open_trained
from hardattn.training.checkpoint import read_json, weights_digest
from supervision.parts import write_parts
from supervision.store import SequenceStore

RECORDED = """
dataset = "digits"
seeds = 1
glimpses = 2

[[rows]]
name = "imitates REINFORCE"
method = "ps-ram"
sequences = "recorded"
recipe = { hidden = 8 }

[[rows]]
name = "REINFORCE"
method = "ram"
recipe = { hidden = 8 }
"""


def test_a_row_imitates_what_reinforce_of_its_seed_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_table(monkeypatch, tmp_path, RECORDED)
    (found,) = reproduce("tiny", None, tmp_path / "out", minutes=0.004, seed=3, only="imitates").rows
    store = SequenceStore.read(tmp_path / "out" / "sequences-recorded-3.h5")
    assert store.settings["design"]["method"] == "ram" and store.settings["design"]["seed"] == 3
    assert bool(store.done.all()) and found.made_in == 0.0
    trained = open_trained(tmp_path / "out" / "reinforce-3")  # before it
    assert trained.method == "ram" and weights_digest(trained.network) == store.settings["design"]["weights"]


DESIGNED = """
dataset = "digits"
seeds = 1
glimpses = 2

[[rows]]
name = "designed"
method = "ps-nogs"
sequences = "fixed-order"
scales = 2
recipe = { hidden = 8 }
"""
SMALL = {"iterations": 12, "width": 8, "places": 9}


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path, dict[str, Any]]]:
    """Fits that were asked for: target, folder and settings; each is a small one."""
    asked: list[tuple[str, Path, dict[str, Any]]] = []

    def small(dataset: DataSet, folder: Path, **chosen: Any) -> Approximations:
        asked.append((dataset.name, folder, chosen))
        sizes = {} if (folder / POSTERIOR).exists() else SMALL
        return boed.fit(dataset, folder, **chosen, **sizes)

    monkeypatch.setattr(row_sequences, "fit", small)
    monkeypatch.setattr(row_sequences, "IMAGES", 3)
    monkeypatch.setattr(boed.search.adaptivity, "FEW_IMAGES", 4)
    return asked


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, write_photo: Callable[..., None]) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for n in range(90):
        write_photo(root / "train" / "ab"[n % 2] / f"{n}.png", seed=n)
    return root


def test_designs_are_those_of_the_command(
    fits: list[tuple[str, Path, dict[str, Any]]], photos: Path, tmp_path: Path
) -> None:
    """With the options of the task; in the same place, with the same bytes but for how long it took."""
    geometry = replace(load("folder", photos).geometry, glimpse_size=20, scales=2)
    opened = {"name": "folder", "data_root": str(photos)}
    path = tmp_path / "own" / "sequences.h5"
    store = designed(path, "design", tmp_path / "own", geometry, 2, opened, "cpu")
    assert [(name, folder) for name, folder, _ in fits] == [("folder", tmp_path / "own" / "approximations")]
    words = ["generate", "--dataset", "folder", "--data-root", photos, "--run", tmp_path / "run"]
    words += ["--device", "cpu", "--images", 3, "--glimpses", 2, "--glimpse-size", 20, "--scales", 2]
    words += [word for name, value in SMALL.items() for word in (f"--{name}", value)]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert timeless(path) == timeless(tmp_path / "run" / "sequences.h5")
    assert store.done.all() and made_in(path) > store.seconds > 0


def test_sequences_that_are_there_are_not_made_again(
    fits: list[tuple[str, Path, dict[str, Any]]], tmp_path: Path
) -> None:
    path = tmp_path / "sequences-design.h5"
    tiny_store(path, tiny_dataset())
    for _ in range(2):
        designed(path, "design", tmp_path / "run", GEOMETRY, 3, {"name": "digits"})
    assert not fits and made_in(path) == 0


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"images": 7}, "expected sequences of 7 images"),
        ({"how": {"iterations": 5}}, '"iterations": 5'),
        ({"how": {"estimator": "amortised"}}, '"estimator": "amortised"'),
    ],
)
def test_sequences_of_other_images_or_another_fit_are_not_taken_for_those_of_a_row(
    tmp_path: Path, asked: dict[str, Any], words: str
) -> None:
    path = tmp_path / "sequences-design.h5"
    tiny_store(path, tiny_dataset())
    with pytest.raises(StoreError, match=words):
        designed(path, "design", tmp_path / "run", GEOMETRY, 3, {"name": "digits"}, **asked)


def test_what_was_fitted_with_more_glimpses_will_do(
    fits: list[tuple[str, Path, dict[str, Any]]], photos: Path, tmp_path: Path
) -> None:
    geometry, opened = load("folder", photos).geometry, {"name": "folder", "data_root": str(photos)}
    for name, glimpses in (("two", 2), ("one", 1)):
        path = tmp_path / f"{name}.h5"
        assert designed(path, "random", tmp_path / "run", geometry, glimpses, opened, "cpu").steps == glimpses
    assert [chosen.get("glimpses") for _, _, chosen in fits] == [2, None]


def test_the_time_of_an_interrupted_design_is_kept(
    fits: list[tuple[str, Path, dict[str, Any]]],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    geometry, opened = load("folder", photos).geometry, {"name": "folder", "data_root": str(photos)}
    path = tmp_path / "sequences.h5"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    spent = [made_in(path)]
    for source in (interrupted, interrupted, SOURCES["random"]):
        monkeypatch.setitem(SOURCES._known, "random", source)
        with pytest.raises(KeyboardInterrupt) if source is interrupted else nullcontext():
            designed(path, "random", tmp_path / "run", geometry, 2, opened, "cpu")
        spent.append(made_in(path))
    assert 0 == spent[0] < spent[1] < spent[2] < spent[3]


@pytest.mark.parametrize(("designs", "run"), [(None, "out/design-scales-2"), ("fits", "fits/digits")])
def test_designs_come_from_what_was_fitted_here_or_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, designs: str | None, run: str
) -> None:
    use_table(monkeypatch, tmp_path, DESIGNED)
    asked: list[tuple[Path, dict[str, Any]]] = []

    def fail(_: DataSet, folder: Path, **chosen: Any) -> Approximations:
        asked.append((folder, chosen))
        raise SettingsError("expected this to be asked for")

    monkeypatch.setattr(row_sequences, "fit", fail)
    with pytest.raises(SettingsError, match="expected this to be asked for"):
        reproduce("tiny", None, tmp_path / "out", minutes=1.0, designs=designs and tmp_path / designs)
    ((folder, chosen),) = asked
    assert folder == tmp_path / run / "approximations"
    assert chosen["geometry"] == replace(load("digits").geometry, scales=2) and chosen["glimpses"] == 2


PLACED = """
dataset = "cluttered-mnist"
seeds = 1
canvas = 40
placements = 3
glimpses = 2

[[rows]]
name = "designs, REINFORCE on the rest"
method = "ps-nogs"
sequences = "design"
recipe = { hidden = 8 }
"""


def test_designs_serve_training_digits_that_are_placed_several_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Design images are the same whatever the placements, and what is fitted is fitted on one."""
    use_table(monkeypatch, tmp_path, PLACED)
    root = write_mnist(tmp_path / "mnist")

    def design(path: Path, fitted: str, dataset: DataSet, **chosen: Any) -> SequenceStore:
        assert fitted == dataset["train"].fingerprint
        return write_parts(path, dataset, "design", glimpses=chosen["glimpses"])

    monkeypatch.setattr(row_sequences, "fit", lambda dataset, *_, **__: dataset["train"].fingerprint)
    monkeypatch.setattr(row_sequences, "Designer", lambda fitted: fitted)
    monkeypatch.setattr(row_sequences, "store_designs", design)
    (found,) = reproduce("tiny", root, tmp_path / "out", minutes=0.004).rows
    assert found.made_in > 0
    settings = read_json(Path(found.run) / "run.json")["settings"]
    once, thrice = (load("cluttered-mnist", root, canvas=40, placements=n) for n in (1, 3))
    assert settings["fingerprint"] == thrice.fingerprint("train", "valid")
    assert once["train"].fingerprint != thrice["train"].fingerprint
    assert settings["supervision"]["images"] == len(once["design"]) == 4
    assert once["design"].fingerprint == thrice["design"].fingerprint


WIDE = """
dataset = "digits"
seeds = 1
glimpses = 3
scales = 2
canvas_seed = 1

[[rows]]
name = "designs with widths"
method = "nogs-all"
sequences = "design-train"
images = 5
glimpses = 2
scales = 1
first_glance = true
sides = [8, 16]
beside = { glimpses = 3, scales = 2 }
fit = { posterior = "glimpse-max", estimator = "amortised", trial_images = 8 }
features = "fit"
recipe = { hidden = 8, policy = "product" }
"""


def test_a_row_imitates_designs_of_training_images_with_a_fit_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_table(monkeypatch, tmp_path, WIDE)
    asked: dict[str, Any] = {}

    def fit(dataset: DataSet, folder: Path, **chosen: Any) -> Geometry:
        asked.update(chosen, fitted=dataset["train"].fingerprint, folder=folder)
        return chosen["geometry"]

    def design(path: Path, geometry: Geometry, dataset: DataSet, **chosen: Any) -> SequenceStore:
        asked.update(chosen)
        ids = dataset[chosen["split"]].ids[: chosen["images"]]
        return write_parts(path, dataset, "train", glimpses=chosen["glimpses"], geometry=geometry, ids=ids)

    monkeypatch.setattr(row_sequences, "fit", fit)
    monkeypatch.setattr(row_sequences, "Designer", lambda fitted: fitted)
    monkeypatch.setattr(row_sequences, "store_designs", design)
    monkeypatch.setattr(trainings, "features_in", lambda folder: asked.update(features=folder))
    found = reproduce("tiny", None, tmp_path / "out", minutes=0.004, designs=tmp_path / "fits", only="wid")
    folder = tmp_path / "out" / "design-scales-1-first-glance-true-sides-8-16" / "approximations-glimpse-max"
    assert asked["folder"] == asked["features"] == folder
    assert asked["combination"] == Combination(posterior="glimpse-max", estimator="amortised")
    assert (asked["split"], asked["images"], asked["source"]) == ("train", 5, "design")
    assert (asked["trial_images"], asked["glimpses"]) == (8, 2) and asked["geometry"].sides == (8, 16)
    assert asked["fitted"] == load("digits", canvas_seed=1)["train"].fingerprint
    (wide,) = found.rows
    assert wide.task == "digits, glimpses 3, scales 2" and wide.told == "" and wide.made_in > 0
    assert wide.given["sides"] == [8, 16] and wide.given["canvas_seed"] == 1
    settings = read_json(Path(wide.run) / "run.json")["settings"]
    assert settings["supervision"]["images"] == 5 and settings["geometry"]["first_glance"]


def test_designs_are_for_digits_in_the_region_of_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_mnist(tmp_path / "mnist")
    monkeypatch.setattr(row_sequences, "fit", lambda *_, **__: None)
    monkeypatch.setattr(row_sequences, "Designer", lambda fitted: fitted)
    monkeypatch.setattr(row_sequences, "store_designs", lambda _, __, dataset, **___: dataset)
    opened = {"name": "translated-mnist", "data_root": str(root), "region": "inner", "placements": 2}
    dataset: Any = designed(tmp_path / "s.h5", "design", tmp_path, GEOMETRY, 2, opened)
    assert dataset.origin == {k: v for k, v in opened.items() if k != "placements"}
