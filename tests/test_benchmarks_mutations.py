"""Mutations: what may be changed, in what order, and that a mutant which a test notices is killed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import benchmarks.mutations.command
from benchmarks.mutations.command import Tree, concerned_tests, drawn, main, report, survey
from benchmarks.mutations.mutants import mutants_of

TOY = '''"""A toy: 1 < 2."""
LIMIT: int = 3


def kept(values: list[int], limit: float = 0.5) -> bool:
    """Whether 1 of them is kept.

    >>> kept([4])
    True
    """
    if not values:
        raise ValueError(f"expected {1 + 1} values, " + "found 0")
    return max(values) >= LIMIT and len(values) - 1 < 4 * limit * 5


def halved(x: float) -> float:
    return -x / 2
'''
TEST = """from toy.core import halved, kept


def test_kept() -> None:
    assert kept([3]) and not kept([2])


def test_halved() -> None:
    assert halved(0.0) == 0
"""

OTHER = """import json
from toy import core


def test_all() -> None:
    assert core and json
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project of one module, one test of it and one of another."""
    for name, text in {
        "toy/__init__.py": "",
        "toy/core.py": TOY,
        "tests/test_toy_core.py": TEST,
        "tests/test_a_lot.py": OTHER,
        "tests/test_else.py": "def test_else():\n    raise AssertionError\n",
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "--doctest-modules"\npythonpath = ["."]\n',
        ".venv/never.txt": "not copied",
    }.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(text)
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("a < b", {"a <= b", "a >= b"}),
        ("a == b", {"a != b"}),
        ("a is not b", {"a is b"}),
        ("a + b * c", {"a - b * c", "a + b / c"}),
        ("(a - b) * c", {"(a + b) * c", "(a - b) / c"}),
        ("a ** 2", {"a * 2", "a ** 3"}),
        ("a += 1", {"a -= 1", "a += 2"}),
        ("f(True, b=0.5)", {"f(False, b=0.5)", "f(True, b=1.0)"}),
        ("f(a, b, c)", {"f(b, a, c)"}),
        ("f(*a, b)", set()),
        ("np.minimum(a, b)", {"np.maximum(a, b)"}),
        ("x.argmin(1)", {"x.argmax(1)", "x.argmin(2)"}),
        ("not a or b", {"(a) or b", "(not a and b)"}),
        ("-a", {"(a)"}),
        ("a if b else c", {"a if not (b) else c"}),
        ('"é", a < 1', {'"é", a <= 1', '"é", a >= 1', '"é", a < 2'}),
        ('f"{a + 1}"', set()),
        ("a: int = (\n    b\n)", set()),
        ("a: list[1] = b", set()),
        ("raise ValueError(1 + 1)", set()),
        ("def f() -> bool:\n    return a", {"def f() -> bool:\n    return not (a)"}),
        ("def f() -> str:\n    return a", set()),
    ],
)
def test_what_is_written_in_the_place_of_what(source: str, changed: set[str]) -> None:
    mutants = mutants_of("m.py", source + "\n")
    assert {mutant.of(source + "\n").removesuffix("\n") for mutant in mutants} == changed
    assert len(mutants) == len(changed)


def test_a_mutant_changes_one_line_of_code() -> None:
    """Neither texts, examples, types nor messages."""
    lines = TOY.splitlines()
    for mutant in mutants_of("toy/core.py", TOY):
        changed = mutant.of(TOY).splitlines()
        assert len(changed) == len(lines)
        [line] = [n for n, (a, b) in enumerate(zip(lines, changed, strict=True), 1) if a != b]
        assert line == mutant.line and line in (2, 5, 11, 13, 17)
        assert str(mutant).startswith(f"toy/core.py:{line}  {mutant.before}")


def test_the_draw_is_seeded_and_grows(tree: Path) -> None:
    (tree / "one.py").write_text("a < b\n")
    targets = ("toy", "one.py")
    few, more = (drawn(tree, targets, count, 0) for count in (5, 9))
    assert few == more[:5] == drawn(tree, targets, 5, 0) != drawn(tree, targets, 5, 1)
    assert [target for target, _ in more] == ["toy", "one.py"] * 2 + ["toy"] * 5  # as many as there are
    assert len({mutant for _, mutant in more}) == 9


def test_tests_that_concern_a_module(tree: Path) -> None:
    own, other = "tests/test_toy_core.py", "tests/test_a_lot.py"
    assert concerned_tests(tree, "toy/core.py") == ["toy/core.py", own, other]
    assert Tree(tree, 60.0).tests("toy/core.py")[0] == ["toy/core.py", own, other]
    assert Tree(tree, 0.0).tests("toy/core.py") == ([], 0.0)


def test_one_is_killed_and_one_survives(tree: Path) -> None:
    """No test knows the sign of what is halved."""
    every = {str(mutant): mutant for mutant in mutants_of("toy/core.py", TOY)}
    killed = every["toy/core.py:13  max(values) >= LIMIT  ->  max(values) > LIMIT"]
    survives = every["toy/core.py:17  -x  ->  (x)"]
    said = list[str]()
    outcomes = survey(tree, [("toy", killed), ("toy", survives)], 60.0, said.append)
    assert outcomes == {"toy": [(killed, True), (survives, False)]}
    assert said == [f"killed    {killed}", f"SURVIVED  {survives}"]
    assert (tree / "toy" / "core.py").read_text() == TOY
    assert [line.split() for line in report(outcomes).splitlines()] == [
        ["toy", "1", "of", "2", "50%"],
        ["in", "all", "1", "of", "2", "50%"],
    ]


def test_by_the_command_line(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.mutations.command, "ROOT", tree)
    done = CliRunner().invoke(main, ["--of", "toy/core.py", "--count", "1", "--json"])
    assert done.exit_code == 0, done.output
    [only] = json.loads(done.stdout)["mutants"]
    assert only["path"] == only["target"] == "toy/core.py" and f":{only['line']}  " in done.stderr
    gone = CliRunner().invoke(main, ["--of", "toy/none.py"])
    assert gone.exit_code == 1 and "found no toy/none.py" in gone.stderr
    (tree / "tests" / "test_toy_core.py").write_text("from toy.core import gone\n")
    broken = CliRunner().invoke(main, ["--of", "toy"])
    assert broken.exit_code == 1 and "found tests/test_toy_core.py failing" in broken.stderr
