"""Settings in files: what comes back is what was written, and other versions are refused by name."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from data.errors import CheckpointError
from data.settings import from_json
from data.version import SOFTWARE


@dataclass(frozen=True)
class Inner:
    sides: tuple[int, ...] = (4, 8)


@dataclass(frozen=True)
class Outer:
    width: int
    inner: Inner = Inner()
    other: Inner | None = None
    pairs: tuple[tuple[int, int], ...] = ()


@pytest.mark.parametrize("value", [Outer(3), Outer(3, Inner((1,)), Inner(), ((1, 2), (3, 4)))])
def test_settings_come_back_from_json(value: Outer) -> None:
    assert from_json(Outer, json.loads(json.dumps(asdict(value))), path=Path("run.json")) == value


def test_fields_of_another_version_are_refused_with_its_name() -> None:
    with pytest.raises(CheckpointError, match=r"run\.json, found unknown depth, glow, written by boed 9\.0"):
        from_json(Outer, {"width": 1, "glow": 2, "depth": 3}, path=Path("run.json"), software="boed 9.0")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(CheckpointError, match="found missing width, written by an older version"):
        from_json(Outer, {}, path=Path("run.json"))


def test_a_nested_field_is_refused_too() -> None:
    with pytest.raises(CheckpointError, match="unknown wide"):
        from_json(Outer, {"width": 1, "inner": {"wide": 3}}, path=Path("run.json"))


def test_the_version_is_that_of_the_package() -> None:
    assert SOFTWARE.startswith("boed-hardattn ") and "unknown" not in SOFTWARE
