import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data import DATASETS, DataError, DataSet, SettingsError, load
from data.registry import register, reopen


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"expected a data set of digits, mnist, .*; found 'cifar'"):
        load("cifar")


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if entry.layout])
def test_a_data_root_that_is_not_given_is_asked_for_with_its_layout(name: str) -> None:
    with pytest.raises(DataError, match="found none given; set --data-root") as raised:
        load(name)
    assert DATASETS[name].layout in str(raised.value)


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if entry.layout])
def test_a_data_root_that_is_absent_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no folder .*absent; (set --data-root|give the folder above)"):
        load(name, tmp_path / "absent")


OPTIONS: dict[str, Any] = {"attribute": "Male", "canvas": 60, "seed": 0, "size": 64, "region": "inner"}
INAPPLICABLE = [
    (name, key) for name, entry in DATASETS.items() for key in OPTIONS if key not in entry.options
]


@pytest.mark.parametrize(("name", "key"), INAPPLICABLE)
def test_options_that_do_not_apply_are_refused(name: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"expected no {key} for {name}, found"):
        load(name, tmp_path, **{key: OPTIONS[key]})


def test_a_data_root_for_embedded_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected no data root for digits"):
        load("digits", tmp_path)


def test_options_are_handed_on() -> None:
    fingerprints = {load("digits", seed=seed)["valid"].fingerprint for seed in (0, 1)}
    assert load("digits")["valid"].fingerprint in fingerprints
    assert len(fingerprints) == 2


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_a_one_line_summary(name: str) -> None:
    summary = DATASETS[name].summary
    assert summary
    assert "\n" not in summary


def test_what_was_made_of_arrays_cannot_be_opened_again() -> None:
    with pytest.raises(DataError, match=r"expected s\.h5 to say what its images were opened with"):
        reopen({}, None, "s.h5")
    again = reopen({"name": "digits", "data_root": None, "seed": 3}, None, "s.h5")
    assert again.origin == {"name": "digits", "data_root": None, "seed": 3}


def test_the_options_that_there_are_are_named() -> None:
    with pytest.raises(SettingsError, match="expected no colour for digits, found 3; its options are seed"):
        load("digits", colour=3)
    with pytest.raises(SettingsError, match="its options are canvas, seed, region, placements"):
        load("cluttered-mnist", "somewhere", size=3)


def test_the_size_of_photographs_is_an_option(tmp_path: Path, write_photo: Callable[..., None]) -> None:
    for name in ("cat", "dog"):
        write_photo(tmp_path / "train" / name / "1.jpg", seed=0)
    assert load("folder", tmp_path, size=48).geometry.height == 48
    assert load("folder", tmp_path).geometry.height == 128


def test_what_opened_a_data_set_opens_it_again(tmp_path: Path, write_photo: Callable[..., None]) -> None:
    write_photo(tmp_path / "val" / "cat" / "1.jpg", seed=0)
    opened = load("folder", tmp_path, size=48)
    assert opened.origin == {"name": "folder", "data_root": str(tmp_path.resolve()), "size": 48}
    assert load(**opened.origin)["test"].fingerprint == opened["test"].fingerprint
    assert load("digits", canvas=None).origin == {"name": "digits", "data_root": None}


def test_a_data_set_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DATASETS, "_known", dict(DATASETS._known))

    @register("mine", "made up", options=("seed",))
    def mine(seed: int = 0) -> DataSet:
        return load("digits", seed=seed + 1)

    assert load("mine")["valid"].fingerprint == load("digits", seed=1)["valid"].fingerprint
    assert "mine" in DATASETS and load("mine", seed=3).origin == {
        "name": "mine",
        "data_root": None,
        "seed": 3,
    }


def test_names_do_not_wait_for_torch() -> None:
    code = "import sys; from data.registry import DATASETS; list(DATASETS); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
