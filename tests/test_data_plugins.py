"""Registries: names before imports, decorators, and what installed packages bring."""

import sys
from importlib.metadata import EntryPoint

import pytest

from data.errors import SettingsError
from data.plugins import Registry


def test_a_name_is_known_before_its_module_is_imported() -> None:
    sys.modules.pop("antigravity_of_tests", None)
    registry: Registry[object] = Registry("toy", {"late": "antigravity_of_tests"})
    assert list(registry) == ["late"] and "late" in registry
    with pytest.raises(ModuleNotFoundError, match="antigravity_of_tests"):
        registry["late"]


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    registry: Registry[int] = Registry("toy")
    registry.register("one")(1)
    with pytest.raises(SettingsError, match="expected a toy of one; found 'two'"):
        registry.require("two")
    assert registry.require("one") == 1 and registry.get("two") is None


def test_an_installed_package_adds_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(*, group: str) -> list[EntryPoint]:
        return [EntryPoint("root", "math:sqrt", group)] if group == "boed_hardattn.toys" else []

    monkeypatch.setattr("data.plugins.entry_points", points)
    registry: Registry[object] = Registry("toy")
    assert list(registry) == ["root"]
    assert registry["root"](9.0) == 3.0  # type: ignore[operator]
