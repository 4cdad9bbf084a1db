"""Settings in files: what comes back is what was written, and other versions are refused by name."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

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


@dataclass(frozen=True)
class Typed:
    count: int = 0
    share: float = 0.5
    name: str = ""
    flag: bool = False
    seed: int | None = None
    inner: Inner = Inner()
    facts: Mapping[str, Any] = field(default_factory=dict)
    mode: Literal["a", "b"] = "a"
    whatever: Any = None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", "3", "count in run.json as int, found '3'"),
        ("count", 3.5, "count in run.json as int, found 3.5"),
        ("count", True, "count in run.json as int, found True"),
        ("count", None, "count in run.json as int, found None"),
        ("share", "half", "share in run.json as float, found 'half'"),
        ("name", 3, "name in run.json as text, found 3"),
        ("flag", 1, "flag in run.json as bool, found 1"),
        ("seed", "0", "seed in run.json as int or null, found '0'"),
        ("inner", [1], r"inner in run.json as Inner, found \[1\]"),
        ("inner", {"sides": 4}, "sides in run.json as list, found 4"),
        ("facts", None, "facts in run.json as Mapping, found None"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=f"expected {message}, written by") as refusal:
        from_json(Typed, {name: value}, path=Path("run.json"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("values", [[], "x", None, 3])
def test_settings_that_are_no_object_are_refused(values: Any) -> None:
    with pytest.raises(CheckpointError, match="expected settings in run.json, found"):
        from_json(Typed, values, path=Path("run.json"))


@pytest.mark.parametrize(
    "values", [{"share": 1}, {"seed": None}, {"seed": 2}, {"mode": "c"}, {"whatever": None}, {"facts": {}}]
)
def test_a_value_that_its_field_can_take_is_taken(values: dict[str, Any]) -> None:
    assert from_json(Typed, values, path=Path("run.json")) == replace(Typed(), **values)


def test_the_version_is_that_of_the_package() -> None:
    assert SOFTWARE.startswith("boed-hardattn ") and "unknown" not in SOFTWARE
