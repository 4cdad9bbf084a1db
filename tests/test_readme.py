"""The README knows every file, every command and every data set."""

from itertools import takewhile
from pathlib import Path

import click
import pytest

import boed.cli.main
import hardattn.cli.main
from data import DATASETS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PACKAGES = ("data", "boed", "supervision", "hardattn", "benchmarks")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_file_map_is_complete(package: str) -> None:
    lines = README.partition(f"\n    {package}/ ")[2].splitlines()[1:]
    listed, folder = set[str](), ""
    for line in takewhile(lambda line: line.startswith("      "), lines):
        name = line.split()[0]
        folder = folder if line.startswith("        ") else ""
        if name.endswith("/"):
            folder = name
        else:
            listed.add(folder + name)
    files = {str(path.relative_to(ROOT / package)) for path in (ROOT / package).rglob("*.py")}
    assert listed == {name for name in files if Path(name).name not in ("__init__.py", "__main__.py")}


def test_every_command_is_shown() -> None:
    for name, group in (("boed", boed.cli.main.main), ("hardattn", hardattn.cli.main.main)):
        assert isinstance(group, click.Group)
        for command in group.commands:
            assert f"{name} {command}" in README, f"{name} {command}"


def test_every_data_set_is_described() -> None:
    assert not [name for name in DATASETS if f"`{name}`" not in README]


def test_relative_links_lead_somewhere() -> None:
    targets = [part.split(")")[0] for part in README.split("](")[1:]]
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing
