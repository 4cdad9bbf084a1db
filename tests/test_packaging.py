"""What the package says of itself: versions that it works with, systems, no module of one system alone."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("data", "supervision", "boed", "hardattn")
ONE_SYSTEM = {
    "fcntl",
    "grp",
    "msvcrt",
    "posix",
    "pty",
    "pwd",
    "resource",
    "syslog",
    "termios",
    "tty",
    "winreg",
}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TESTING = ("hypothesis", "pytest", "pytest-xdist")
"""Of the extra `dev` what the tests cannot run without."""


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version, without zeros at its end."""
    numbers = [int(number) for number in text.split(".") if number.isdigit()]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def floors() -> dict[str, tuple[int, ...]]:
    """Package -> its oldest version, as pyproject.toml has it, of all that `make oldest` installs."""
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["onnx"]]
    wanted += [each for each in extras["dev"] if re.split(r"[\[>]", each)[0] in TESTING]
    return {name: version(oldest) for name, oldest in (each.split(">=") for each in wanted)}


def test_the_oldest_versions_are_those_that_are_tested() -> None:
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    assert {name: version(pin) for name, pin in (line.split("==") for line in lines)} == floors()


def test_the_pinned_versions_are_allowed() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {
        name.lower().replace("_", "-"): version(pin) for name, pin in (line.split("==") for line in lines)
    }
    assert not [name for name, oldest in floors().items() if pins[name] < oldest]


def test_every_python_and_system_that_is_named_is_tested() -> None:
    yaml = pytest.importorskip("yaml")
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    named = [each.split(" :: ")[-1] for each in PROJECT["classifiers"] if "Python :: 3." in each]
    systems = [each.split(" :: ")[-1] for each in PROJECT["classifiers"] if each.startswith("Operating")]
    runners = {"MacOS": "macos-latest", "Linux": "ubuntu-latest"}
    assert matrix["python"] == named and set(matrix["os"]) == {runners[system] for system in systems}
    assert PROJECT["requires-python"] == f">={named[0]}"
    targets = re.findall(r"^([\w ]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = [step["run"].split()[1] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert len(commands) == len(jobs) and set(commands) <= set(targets)


def imported_at_once(tree: ast.AST) -> Iterator[str]:
    """Modules that a module imports when it is imported itself: not those in functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imported_at_once(node)


def test_a_module_of_one_system_is_noticed() -> None:
    text = "try:\n    from fcntl import flock\nexcept ImportError:\n    pass\ndef f():\n    import pwd\n"
    assert set(imported_at_once(ast.parse(text))) & ONE_SYSTEM == {"fcntl"}


def test_no_module_of_one_system_is_imported_at_once() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    assert not [file for file in files if set(imported_at_once(ast.parse(file.read_text()))) & ONE_SYSTEM]
