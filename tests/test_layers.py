"""Imports point one way: data <- boed, supervision <- hardattn, and hardattn does without Pyro."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("data", "boed", "supervision", "hardattn")
MAY_IMPORT = {
    "data": {"data"},
    "boed": {"data", "boed"},
    "supervision": {"data", "supervision"},
    "hardattn": {"data", "boed", "supervision", "hardattn"},
}
COMMAND_LINES = {"boed/cli.py", "boed/commands/compare.py", "boed/__main__.py"}  # these also use the store
STORES = {"supervision.store", "supervision.published", "supervision.timing"}


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield ".".join(path.relative_to(ROOT).parts[: -node.level])
            elif node.module in PACKAGES:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        top = name.split(".")[0]
        if top not in PACKAGES or top in MAY_IMPORT[package]:
            continue
        is_store = name in STORES and str(path.relative_to(ROOT)) in COMMAND_LINES
        assert is_store, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("package", ["data", "supervision", "hardattn"])
def test_pyro_is_not_needed_to_look(package: str) -> None:
    """Every module of the package but `__main__` is imported in a fresh interpreter."""
    for path in (ROOT / package).rglob("*.py"):
        assert not [name for name in imports(path) if name.split(".")[0] == "pyro"], path
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "__main__.py"
    ]
    code = "import importlib, sys\n" + "".join(f"importlib.import_module({name!r})\n" for name in names)
    code += "sys.exit('pyro was imported' if 'pyro' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_data_sets_import_scikit_learn_only_when_they_need_it() -> None:
    code = "import data, sys; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
