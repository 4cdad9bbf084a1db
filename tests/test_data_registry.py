from pathlib import Path
from typing import Any

import pytest

from data import DATASETS, DataError, SettingsError, load


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
    with pytest.raises(DataError, match=r"found no folder .*absent; set --data-root"):
        load(name, tmp_path / "absent")


OPTIONS: dict[str, Any] = {"attribute": "Male", "canvas": 60, "seed": 0}
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
