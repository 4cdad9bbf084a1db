"""Imports point one way: data < supervision < boed < hardattn, and in each from room to room downwards."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping, Set
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("data", "supervision", "boed", "hardattn")  # from the ground up
ROOMS = (
    *("boed.enumeration", "boed.completions", "boed.posteriors", "boed.estimators", "boed.search"),
    *("boed.fitting", "boed.comparison", "boed.cli"),
    *("hardattn.model", "hardattn.objectives", "hardattn.stopping", "hardattn.training"),
    *("hardattn.baselines", "hardattn.report", "hardattn.experiments", "hardattn.cli"),
)
"""From the ground up: a room imports none of its package that stands after it."""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imports(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, wherever in it, also under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str | None:
    """The module of this project in which an imported name stands."""
    return next((module for module in (name, name.rpartition(".")[0]) if module in MODULES), None)


@cache
def graph() -> Mapping[str, Set[str]]:
    """Module -> modules that it imports."""
    known = {name: {module_of(imported) for imported in imports(path)} for name, path in MODULES.items()}
    return {name: {module for module in its if module} - {name} for name, its in known.items()}


def room_of(module: str) -> str:
    """The folder within a package that a module stands in, or itself where it stands in none.

    >>> room_of("boed.fitting.fit"), room_of("boed.combination")
    ('boed.fitting', 'boed.combination')
    """
    return ".".join(module.split(".")[:2])


def circle(of: Mapping[str, Set[str]]) -> list[str]:
    """Names that lead round in a circle; none where there is no circle."""
    try:
        TopologicalSorter(of).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_packages_below_its_own(module: str) -> None:
    own = PACKAGES.index(module.split(".")[0])
    above = [its for its in graph()[module] if PACKAGES.index(its.split(".")[0]) > own]
    assert not above


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_no_room_above_its_own(module: str) -> None:
    room = room_of(module)
    if room in ROOMS:
        higher = set(ROOMS[ROOMS.index(room) + 1 :])
        assert not [its for its in graph()[module] if room_of(its) in higher]


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert not circle(graph())


def test_no_rooms_import_one_another_in_a_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for module, its in graph().items():
        rooms.setdefault(room_of(module), set()).update({room_of(one) for one in its} - {room_of(module)})
    assert not circle(rooms)


def test_a_circle_is_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_every_room_has_its_floor() -> None:
    rooms = {
        name_of(path.parent)
        for package in PACKAGES[2:]
        for path in (ROOT / package).glob("*/__init__.py")
        if path.parent.name != "templates"
    }
    assert rooms == set(ROOMS)


def test_no_module_starts_this_projects_own_command_line() -> None:
    """What a command does is a function that can be called."""
    started = [name for name, path in MODULES.items() if '"-m", "boed"' in path.read_text()]
    assert not started


def test_data_sets_import_scikit_learn_only_when_they_need_it() -> None:
    code = "import data, sys; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
