"""Registries: names before imports, decorators, and what installed packages bring."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from data.errors import SettingsError
from data.plugins import Registry, deferred


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


def test_an_entry_point_may_be_a_module_that_registers_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry: Registry[object] = Registry("toy")
    (tmp_path / "toys_of_tests.py").write_text("import builtins\nbuiltins.toys_of_tests.register('top')(7)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("builtins.toys_of_tests", registry, raising=False)
    monkeypatch.setattr(
        "data.plugins.entry_points",
        lambda *, group: [EntryPoint(name, "toys_of_tests", group) for name in ("top", "kite")],
    )
    assert registry["top"] == 7
    with pytest.raises(SettingsError, match="expected the module toys_of_tests to register the toy 'kite'"):
        registry["kite"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("antigravity_of_tests:fly", "found ModuleNotFoundError: No module named 'antigravity_of_tests'"),
        ("math:squirrel", "found AttributeError: .*'squirrel'"),
        ("broken_of_tests", "found ZeroDivisionError: division by zero"),
    ],
)
def test_an_entry_point_that_does_not_import_is_refused_by_name_and_package(
    value: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_of_tests.py").write_text("1 / 0\n")
    (tmp_path / "toys-1.dist-info").mkdir()
    (tmp_path / "toys-1.dist-info" / "METADATA").write_text("Name: wooden-toys\nVersion: 1\n")
    (tmp_path / "toys-1.dist-info" / "entry_points.txt").write_text(f"[boed_hardattn.toys]\nkite = {value}\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry: Registry[object] = Registry("toy")
    words = rf"expected {value} to bring the toy 'kite', {found}; .* wooden-toys, .* boed_hardattn\.toys$"
    with pytest.raises(SettingsError, match=words):
        registry.require("kite")


def test_a_deferred_function_is_imported_when_it_is_called() -> None:
    call = deferred("antigravity_of_tests:fly")
    with pytest.raises(ModuleNotFoundError, match="antigravity_of_tests"):
        call()
    assert deferred("math:hypot")(3, 4) == 5


NAMES_AT_ONCE = """
from boed.search.registry import SOURCES
from data.corruption_names import CORRUPTIONS
from data.registry import DATASETS
from hardattn.baselines.registry import BASELINES
from hardattn.model.registry import COMBINATIONS, CORES, ENCODERS, HEADS, POLICIES
from hardattn.objectives.registry import METHODS, REWARDS, TERMS
from hardattn.stopping.registry import RULES
from hardattn.training.registry import LEARNERS
for registry in (SOURCES, CORRUPTIONS, DATASETS, BASELINES, COMBINATIONS, CORES, ENCODERS, HEADS, POLICIES,
                 METHODS, REWARDS, TERMS, RULES, LEARNERS):
    names = list(registry)
    for name in names:
        registry[name]
    for name in registry:
        if name not in names:
            print(registry.kind, name)
"""


def test_every_name_that_a_module_registers_is_known_before_it_is_imported() -> None:
    """A command line that starts knows no others."""
    found = subprocess.run([sys.executable, "-c", NAMES_AT_ONCE], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
