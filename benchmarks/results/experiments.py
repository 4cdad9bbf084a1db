"""The experiments behind figures of the documentation, and the code that each depends on.

A command names its data as DATA/NAME, a folder for each data set in one folder of all, and what it keeps as
RUN, a folder of its own.
"""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA, RUN = "DATA", "RUN"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SOURCES = (".py", ".toml")


@dataclass(frozen=True)
class Experiment:
    """What makes a file of results.

    Attributes:
        command: which prints it with `--json`, and takes up what was interrupted.
        depends: packages and modules without which its figures would be others.
        parts: words of `--row`, of an experiment of which only these parts are run.
        before: commands that make what it prints.
    """

    command: str
    depends: tuple[str, ...]
    parts: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """All commands, as a reader would type them.

        >>> Experiment("boed fit --run RUN", ()).told
        'boed fit'
        """
        return "; ".join([*self.before, self.command]).replace(f" --run {RUN}", "")


def words(command: str, data: Path, run: Path) -> list[str]:
    """Arguments for Python, with the data sets and what is kept in folders.

    >>> words("hardattn reproduce rewards --data-root DATA/mnist --run RUN", Path("all"), Path("kept"))
    ['-m', 'hardattn', 'reproduce', 'rewards', '--data-root', 'all/mnist', '--run', 'kept']
    """
    folders = {DATA: data, RUN: run}
    placed = re.sub(rf"\b({DATA}|{RUN})(?=/|\s|$)", lambda match: str(folders[match[1]]), command)
    return ["-m", *placed.removeprefix("python -m ").split()]


_TRAINING = (
    "hardattn.model",
    "hardattn.objectives",
    "hardattn.training.learner",
    "hardattn.training.trainer",
    "hardattn.training.recipe",
)
EXPERIMENTS = {
    "recurrent-glimpsenet": Experiment(
        "hardattn reproduce recurrent-glimpsenet --seeds 3 --minutes 120 --data-root DATA/mnist --run RUN",
        ("hardattn.experiments.reproduce", *_TRAINING, "data.crop"),
    ),
    "case-study": Experiment(
        "hardattn reproduce case-study --seeds 1 --minutes 105 --data-root DATA/mnist --run RUN",
        ("hardattn.experiments.reproduce", *_TRAINING, "boed.search"),
        parts=(
            *("convolutions", "REINFORCE", "translated, 6 of 8 x 8, 1", "translated, 6 of 8 x 8, 2"),
            *(
                "translated, 6 of 12",
                "translated, 8 of 12",
                "translated, 6 of 16",
                "cluttered, 6 of 12 x 12, 3",
            ),
        ),
    ),
    "demo": Experiment(
        "python -m benchmarks.demo",
        ("boed.fitting", "boed.search", *_TRAINING, "data.digits", "benchmarks.demo"),
    ),
    "train-speed": Experiment(
        "python -m benchmarks.train_speed --compile",
        ("benchmarks.train_speed", "benchmarks.train_speed.ram_loop", *_TRAINING, "data.pool"),
    ),
    "large": Experiment(
        "python -m benchmarks.large",
        ("benchmarks.large", "benchmarks.large.files", "boed.search", "boed.estimators"),
    ),
}

Read = Callable[[str], str]
"""Text of a source file, by its path from the root."""


def at(revision: str) -> Read:
    """Reads sources as a commit has them."""
    return lambda path: _git("show", f"{revision}:{path}")


def here(path: str) -> str:
    """Reads sources as they are."""
    return (ROOT / path).read_text()


def digests(depends: tuple[str, ...], revision: str | None = None) -> dict[str, str]:
    """What the code of packages and modules is: name -> a digest that comments and docstrings do not change.

    Args:
        revision: a commit; None: as they are.
    """
    read = here if revision is None else at(revision)
    return {name: _digest(_sources(name, revision), read) for name in depends}


def _sources(name: str, revision: str | None) -> Iterator[str]:
    """Paths of a package or module, in their order."""
    place = name.replace(".", "/")
    if revision is not None:
        yield from _git("ls-tree", "-r", "--name-only", revision, "--", place, f"{place}.py").splitlines()
        return
    files = [ROOT / f"{place}.py", *(ROOT / place).rglob("*")]
    yield from sorted(path.relative_to(ROOT).as_posix() for path in files if path.is_file())


def _digest(paths: Iterator[str], read: Read) -> str:
    found = hashlib.sha256()
    for path in paths:
        if path.endswith(SOURCES):
            found.update(f"{path}\0{meaning(read(path)) if path.endswith('.py') else read(path)}\0".encode())
    return found.hexdigest()[:16]


def meaning(text: str) -> str:
    """A source file without what is only for people: comments, layout and docstrings.

    >>> meaning('def f(x):\\n    "Doubles."\\n    return 2 * x  # twice') == meaning("def f(x): return 2*x")
    True
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            node.body = node.body[1:]
    return ast.dump(tree)


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
