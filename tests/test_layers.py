"""Imports point one way: data < supervision < boed < hardattn, and in each from floor to floor downwards."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import layers
import pytest
from layers import Tree

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (
    *("boed.engines", "boed.shadowing", "boed.settings", "boed.simulation"),
    *("boed.enumeration", "boed.joint_model"),
    *("boed.completions", "boed.posteriors"),
    *("boed.estimators", "boed.combination", "boed.part_files", "boed.saved", "boed.approximations"),
    *("boed.search", "boed.fitting", "boed.generation", "boed.stored_designs", "boed.designs"),
    *("boed.benchmark", "boed.comparison", "boed.pictures"),
    *("boed.calibration", "boed.calibration_table", "boed.calibration_pictures"),
    *("boed.cli", "boed.__main__"),
    *("hardattn.model", "hardattn.objectives", "hardattn.stopping", "hardattn.training"),
    *("hardattn.baselines", "hardattn.loading", "hardattn.images", "hardattn.evaluation"),
    *(
        "hardattn.prediction",
        "hardattn.recording",
        "hardattn.distillation",
        "hardattn.warm_start",
        "hardattn.runs",
        "hardattn.exporting",
    ),
    *(
        "hardattn.models",
        "hardattn.watching",
        "hardattn.report",
        "hardattn.inspection",
        "hardattn.robustness",
    ),
    *("hardattn.experiments", "hardattn.cli", "hardattn.__main__"),
)
"""From the ground up: rooms, and modules at the top; each imports none of its package that is after it."""
LATE = (
    ("boed.completions.registry", "boed.fitting.cvae_training"),
    ("boed.estimators.registry", "boed.fitting.estimator_training"),
)
"""Trainings that registries name: only `boed.fitting` calls them."""
HOUSE = Tree(ROOT, ("data", "supervision", "boed", "hardattn"), FLOORS, ("hardattn",), LATE)

STUB = "from .combination import Combination\nfrom .designs import design\n"
FACE = {"boed/__init__.pyi": STUB, "boed/combination.py": "", "boed/designs.py": ""}
WRONG = {
    "a package above": (layers.packages_above, "data/grid.py", "from boed.designs import design"),
    "a package above, through its face": (layers.packages_above, "data/grid.py", "from boed import design"),
    "a stub": (layers.packages_above, "data/grid.pyi", "from hardattn import runs"),
    "a stub, relatively": (layers.floors_above, "boed/estimators/bank.pyi", "from ..designs import design"),
    "a name of the face": (layers.floors_above, "boed/estimators/bank.py", "from boed import design"),
    "a room above": (layers.floors_above, "boed/estimators/bank.py", "import boed.search.beam as beam"),
    "a module at the top": (layers.floors_above, "boed/estimators/bank.py", "from boed import pictures"),
    "a room above a module": (layers.floors_above, "boed/combination.py", "from boed.search import beam"),
    "for types": (
        *(layers.floors_above, "boed/combination.py"),
        "if TYPE_CHECKING:\n    from boed.search import beam",
    ),
    "in a function": (
        *(layers.floors_above, "boed/combination.py"),
        "def f():\n    import boed.search.beam",
    ),
    "a string": (layers.floors_above, "boed/estimators/bank.py", 'import_module("boed.designs")'),
    "a string with a name": (layers.packages_above, "data/grid.py", 'deferred("hardattn.runs:train")'),
    "the face": (layers.whole_packages, "hardattn/runs.py", "import boed"),
    "the face by another name": (layers.whole_packages, "boed/designs.py", "import boed as b"),
    "the face beside a module": (layers.whole_packages, "hardattn/runs.py", "import boed.designs"),
    "all of the face": (layers.whole_packages, "boed/designs.py", "from boed import *"),
    "a command line": (layers.command_lines_imported, "hardattn/runs.py", "from boed.cli import generate"),
    "a command line of data": (layers.command_lines_imported, "data/grid.py", "import data.cli.help as h"),
    "benchmarks": (layers.outside, "boed/designs.py", "import benchmarks"),
    "a module of the tests": (layers.outside, "boed/designs.py", "from boed_tiny import images"),
    "a program": (layers.own_command_lines_started, "boed/designs.py", "run([exe, '-m', 'hardattn'])"),
    "a script": (layers.own_command_lines_started, "boed/designs.py", 'run(["boed", "fit"])'),
    "a shell": (layers.own_command_lines_started, "boed/designs.py", 'os.system("boed fit")'),
    "a room that has no floor": (layers.without_floor, "boed/attic/__init__.py", ""),
    "a module that has no floor": (layers.without_floor, "boed/attic.py", ""),
    "a folder that is no package": (layers.folders_without_init, "boed/attic/trunk.py", ""),
}


@pytest.fixture
def tree_of(tmp_path: Path) -> Callable[[dict[str, str]], Tree]:
    """A small tree in order, with these files besides."""

    def write(files: dict[str, str]) -> Tree:
        rooms = ("data", "data/cli", "boed", "boed/estimators", "boed/search", "boed/cli", "hardattn")
        usual = {f"{room}/__init__.py": "" for room in rooms}
        usual |= {"boed/search/beam.py": "", "boed/pictures.py": "", "boed/cli/generate.py": ""}
        usual |= {"hardattn/runs.py": "", "data/cli/help.py": "", "boed/estimators/bank.py": ""}
        usual |= {"data/grid.py": "", "tests/boed_tiny.py": "", "benchmarks/__init__.py": ""}
        for name, text in (usual | FACE | files).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        floors = ("estimators", "combination", "search", "designs", "pictures", "cli")
        return Tree(tmp_path, ("data", "boed", "hardattn"), tuple(f"boed.{floor}" for floor in floors))

    return write


@pytest.mark.parametrize("check", dict.fromkeys(check for check, *_ in WRONG.values()))
def test_nothing_is_out_of_order(check: Callable[[Tree], object]) -> None:
    assert not check(HOUSE)


@pytest.mark.parametrize(("check", "file", "text"), WRONG.values(), ids=WRONG)
def test_what_is_out_of_order_is_noticed(
    check: Callable[[Tree], object], file: str, text: str, tree_of: Callable[[dict[str, str]], Tree]
) -> None:
    assert not check(tree_of({}))
    assert check(tree_of({file: text}))


def test_what_is_in_order_is_left_alone(tree_of: Callable[[dict[str, str]], Tree]) -> None:
    files = {
        "boed/cli/generate.py": "from boed import Combination, design, pictures\nfrom data.cli import help",
        "boed/__main__.py": "from boed.cli.generate import main",
        "boed/search/beam.py": 'from boed import Combination\nDEFAULT = "boed.estimators.bank:Bank"',
        "hardattn/runs.py": 'from boed import design\nNAMES = ("boed", "hardattn")\nimport click',
    }
    tree = tree_of(files)
    checks = {check for check, *_ in WRONG.values()} - {layers.without_floor}
    assert not [fault for check in checks for fault in check(tree)]
    assert tree.module_of("boed.design") == "boed.designs"
    assert layers.without_floor(tree) == {"boed.__main__"}


def test_what_checks_on_import_may_import_a_whole_package(tree_of: Callable[[dict[str, str]], Tree]) -> None:
    tree = tree_of({"hardattn/__init__.py": "import boed"})
    assert layers.whole_packages(tree)
    assert not layers.whole_packages(Tree(tree.root, tree.packages, tree.floors, ("hardattn",)))


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert not layers.circle(HOUSE.graph)


def test_no_rooms_import_one_another_in_a_circle() -> None:
    assert not layers.circle(layers.rooms(HOUSE.graph))


def test_a_circle_is_found(tree_of: Callable[[dict[str, str]], Tree]) -> None:
    tree = tree_of(
        {"boed/combination.py": "from boed import design", "boed/designs.py": "from boed import Combination"}
    )
    assert set(layers.circle(tree.graph)) == {"boed.combination", "boed.designs"}
    assert set(layers.circle(layers.rooms(tree.graph))) == {"boed.combination", "boed.designs"}


def test_data_sets_import_scikit_learn_only_when_they_need_it() -> None:
    code = "import data, sys; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
