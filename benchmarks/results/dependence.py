"""What the code of packages and modules is, now or at a commit, as digests that only its meaning changes."""

from __future__ import annotations

import ast
import hashlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SOURCES = (".py", ".toml")

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
