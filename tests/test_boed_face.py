"""What `import boed` gives: fit, save, load, design, in memory and on disk."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from boed_tiny import pointer_split, timeless
from click.testing import CliRunner

import boed
import boed.search.adaptivity
from boed.cli.main import main
from data import CheckpointError, DataSet, SettingsError, load
from data.sequences import Sequences
from data.tensors import load_tensors, save_tensors
from supervision.batches import supervised_split

ROOT = Path(__file__).resolve().parents[1]
TINY: dict[str, Any] = {"iterations": 12, "width": 8, "glimpses": 2, "places": 9, "device": "cpu"}
COMBINATIONS = [
    boed.Combination(),
    boed.Combination.of(completion="cvae"),
    boed.Combination.of(completion="gaussian"),
    boed.Combination.of(completion="proposals"),
    boed.Combination(posterior="avp-cnn", estimator="amortised"),
]


@pytest.fixture(autouse=True, scope="module")
def _few() -> Iterator[None]:
    """Few images to choose the weights of adaptivity on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boed.search.adaptivity, "FEW_IMAGES", 4)
        yield


@pytest.fixture(scope="module")
def arrays() -> DataSet:
    split = pointer_split(120, seed=0)
    return DataSet.from_arrays(split.images, split.labels, glimpse_size=4, glimpses=2)


@pytest.fixture(scope="module")
def fitted(arrays: DataSet) -> boed.Approximations:
    return boed.fit(arrays, **TINY)


def same(one: Sequences, other: Sequences) -> bool:
    return all(torch.equal(getattr(one, part.name), getattr(other, part.name)) for part in fields(Sequences))


def test_nothing_is_kept_without_a_folder(
    arrays: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    boed.fit(arrays, **TINY)
    assert not any(Path.cwd().iterdir())
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".safetensors", ".json")]


def test_a_folder_changes_nothing(arrays: DataSet, fitted: boed.Approximations, tmp_path: Path) -> None:
    assert boed.fit(arrays, tmp_path / "kept", **TINY).digest() == fitted.digest()
    assert boed.load(tmp_path / "kept").digest() == fitted.digest()


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda its: its.tag or "default")
def test_what_was_made_from_arrays_is_loaded_without_them(
    arrays: DataSet, tmp_path: Path, combination: boed.Combination
) -> None:
    fitted = boed.fit(arrays, combination=combination, **TINY)
    fitted.save(tmp_path)
    loaded = boed.load(tmp_path, device="cpu")
    assert loaded.digest() == fitted.digest() and loaded.combination == combination
    assert loaded.weights == fitted.weights and loaded.calibrations == fitted.calibrations
    designs = [boed.design(one, arrays["design"], images=3, completions=5) for one in (fitted, loaded)]
    assert same(designs[0].sequences, designs[1].sequences)
    assert designs[0].settings == designs[1].settings


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, write_photo: Callable[..., None]) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for n in range(90):
        write_photo(root / "train" / "ab"[n % 2] / f"{n}.png", seed=n)
    return root


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `boed generate`."""
    folder = tmp_path_factory.mktemp("run")
    words = ["generate", "--dataset", "folder", "--data-root", photos, "--run", folder, "--device", "cpu"]
    words += ["--images", 4, "--completions", 7]
    words += [
        word for name in ("iterations", "width", "glimpses", "places") for word in (f"--{name}", TINY[name])
    ]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return folder


def test_a_data_set_of_the_registry_is_opened_again(photos: Path, run: Path) -> None:
    assert not (run / "approximations" / "bank.safetensors").exists()
    loaded, dataset = boed.load(run / "approximations", device="cpu"), load("folder", photos)
    assert loaded.digest() == boed.fit(dataset, run / "approximations", **TINY).digest()
    assert loaded.facts.origin == dataset.origin
    with pytest.raises(CheckpointError, match="expected approximations of folder label"):
        boed.load(run / "approximations", load("folder", photos, size=64))


def test_what_cannot_be_loaded_is_refused(arrays: DataSet, tmp_path: Path) -> None:
    boed.fit(arrays, tmp_path, **TINY)
    with pytest.raises(CheckpointError, match="found some missing; fit it there, or ask for the combination"):
        boed.load(tmp_path, combination=boed.Combination.of(completion="gaussian"))
    (tmp_path / "adaptivity.json").rename(tmp_path / "shrinkage.json")
    with pytest.raises(CheckpointError, match="of a fit before 0.2.*run `boed fit` there"):
        boed.load(tmp_path)
    boed.fit(arrays, tmp_path, **TINY)  # estimates them anew
    (tmp_path / "bank.safetensors").unlink()
    with pytest.raises(CheckpointError, match="found neither; give the data set"):
        boed.load(tmp_path)
    assert boed.load(tmp_path, arrays).glimpses == 2
    with pytest.raises(CheckpointError, match="expected saved weights at .*found none"):
        boed.load(tmp_path / "elsewhere")


def test_they_do_not_flood_a_notebook(arrays: DataSet, fitted: boed.Approximations) -> None:
    designs = boed.design(fitted, arrays["design"], images=3)
    assert repr(designs) == "Designs(arrays label, 3 images, 2 glimpses)"
    assert repr(fitted).startswith("Approximations(arrays label, glimpse-set, 2 glimpses at ")
    assert len(repr(fitted)) < 100


def test_settings_of_another_version_are_refused_by_name(arrays: DataSet, tmp_path: Path) -> None:
    boed.fit(arrays, tmp_path, **TINY)
    path = tmp_path / "approximations.safetensors"
    tensors, about = load_tensors(path, "boed fit")
    newer = about | {"software": "boed-hardattn 9.9", "settings": about["settings"] | {"depth": 3}}
    save_tensors(path, tensors, newer)
    with pytest.raises(CheckpointError, match=r"found unknown depth, written by boed-hardattn 9\.9"):
        boed.load(tmp_path)


def test_designs_are_of_the_images_and_glimpses_asked_for(
    arrays: DataSet, fitted: boed.Approximations
) -> None:
    designs = boed.design(fitted, arrays["design"], glimpses=1, images=4, completions=5)
    assert len(designs) == 4 and designs.places.shape == (4, 1, 3) and designs.entropy.shape == (4, 2)
    assert designs.epe_map.shape == (4, 1, len(designs.candidates)) and designs.steps == 1
    with pytest.raises(SettingsError, match="expected 1 to 2 glimpses"):
        boed.design(fitted, arrays["design"], glimpses=3)
    with pytest.raises(SettingsError, match="expected a source of design, .*; found 'guess'"):
        boed.design(fitted, arrays["design"], source="guess")


@pytest.mark.parametrize("source", ["design", "random"])
def test_designs_that_are_saved_are_what_they_were(
    arrays: DataSet, fitted: boed.Approximations, tmp_path: Path, source: str
) -> None:
    designs = boed.design(fitted, arrays["design"], source=source, completions=5)
    store = designs.save(tmp_path / "sequences.h5")
    assert torch.equal(store.ids, designs.ids) and store.done.all() and store.steps == designs.steps
    assert store.settings == designs.settings and torch.equal(store.candidates, designs.candidates)
    for own, kept in zip(vars(designs.load()).values(), vars(store.load()).values(), strict=True):
        assert torch.allclose(own, kept, equal_nan=True)
    assert store.seconds_per_sequence == pytest.approx(designs.seconds / len(designs))
    parts = [supervised_split(one, arrays["design"], 2) for one in (designs, store)]
    assert torch.equal(parts[0][1], parts[1][1]) and parts[0][0] is parts[1][0] is arrays["design"]


def test_the_store_is_the_one_that_the_command_writes(photos: Path, run: Path, tmp_path: Path) -> None:
    fitted, dataset = boed.load(run / "approximations", device="cpu"), load("folder", photos)
    boed.design(fitted, dataset["design"], images=4, completions=7).save(tmp_path / "own.h5")
    assert timeless(tmp_path / "own.h5") == timeless(run / "sequences.h5")


def test_sequences_are_found_by_image(arrays: DataSet, fitted: boed.Approximations) -> None:
    designs = boed.design(fitted, arrays["design"], source="random")
    some = designs.ids[[4, 1]].tolist()
    assert designs.rows_of(some).tolist() == [1, 4]
    designs.require({"dataset": "arrays"})
    assert designs.name == "the designs in memory" and designs.path is None


def test_all_names_are_those_of_the_stub() -> None:
    stub = ast.parse((ROOT / "boed" / "__init__.pyi").read_text())
    (listed,) = (ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign))
    assert sorted(listed) == sorted(boed.__all__)
    assert all(getattr(boed, name) is not None for name in boed.__all__)


def python(code: str, folder: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a folder, as a user does who installed the project."""
    places = os.pathsep.join(map(str, [*path, ROOT]))
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_it_does_not_import_torch(tmp_path: Path) -> None:
    code = "import boed, sys; boed.__version__; boed.Combination(); sys.exit('torch' in sys.modules)"
    assert python(code, tmp_path).returncode == 0


@pytest.mark.parametrize("name", ["data.py", "data/__init__.py", "supervision.py"])
@pytest.mark.parametrize("code", ["import boed", "import data\nimport boed", "import hardattn"])
def test_a_users_own_module_of_that_name_is_named_in_one_line(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("IMAGES = []\n")
    result = python(code, tmp_path)
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1 and last.startswith("ImportError: expected the package ")
    assert f"found {tmp_path / name}, which hides it; rename" in last


INSTALLED = f"""
import sys
from importlib.machinery import PathFinder


class Editable:
    find_spec = staticmethod(lambda name, path=None, target=None: PathFinder.find_spec(name, [{str(ROOT)!r}]))


sys.meta_path.insert(sys.meta_path.index(PathFinder) + 1, Editable)  # as an editable install does
"""


@pytest.mark.parametrize("name", ["data", "supervision"])
@pytest.mark.parametrize("code", ["import boed", "import data, supervision, boed", "import hardattn"])
@pytest.mark.parametrize("install", ["", INSTALLED], ids=["path", "editable"])
def test_a_users_folder_of_that_name_hides_nothing(
    tmp_path: Path, name: str, code: str, install: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "notes.txt").write_text("mine")
    here = f"import sys; sys.path.remove({str(ROOT)!r})\n{install}" if install else ""
    last = "from data import load; from supervision.store import SequenceStore; load('digits')['valid']"
    result = python(f"{here}{code}\n{last}", tmp_path)
    assert result.returncode == 0, result.stderr


def test_a_users_folder_that_is_in_use_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.py").write_text("IMAGES = []\n")
    code = f"import sys; sys.path.remove({str(ROOT)!r})\n{INSTALLED}import data.mine\nimport boed"
    result = python(code, tmp_path)
    assert result.returncode == 1
    assert f"found {tmp_path / 'data'}, which hides it" in result.stderr.strip().splitlines()[-1]


def test_arrays_of_numpy_will_do() -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 12, 12), dtype=np.uint8)
    learned = boed.fit(DataSet.from_arrays(images, np.arange(60) % 2, glimpse_size=4, glimpses=2), **TINY)
    assert learned.facts.classes == 2
