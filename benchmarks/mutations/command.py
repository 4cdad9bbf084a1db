"""What share of single-line mutants of the core the tests kill: seeded, by the syntax tree, in a copy."""

from __future__ import annotations

import ast
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from benchmarks.mutations.mutants import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[2]
TARGETS = (
    "boed/estimators",
    "boed/search",
    "hardattn/objectives",
    "hardattn/stopping",
    "data/grid.py",
    "data/retina.py",
)
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "runs", "shared", "site", "*.egg-info")
NO_TESTS = 5  # what pytest returns where it collected none
PATIENCE = 3.0  # a mutant that takes so many times as long as the tests is taken to loop
START = 30.0  # seconds; also for a slow start of the interpreter


def drawn(root: Path, targets: Iterable[str], count: int, seed: int) -> list[tuple[str, Mutant]]:
    """So many mutants with their targets, as many of each target as it has; a larger count adds some."""
    shuffled = []
    for target in targets:
        files = sorted((root / target).rglob("*.py")) if (root / target).is_dir() else [root / target]
        every = [m for f in files for m in mutants_of(f.relative_to(root).as_posix(), f.read_text())]
        random.Random(f"{seed} {target}").shuffle(every)
        shuffled.append([(target, mutant) for mutant in every])
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*shuffled))
    return list(itertools.islice(filter(None, rounds), count))


def imported(path: Path) -> set[str]:
    """Names that a file imports: modules, and what is taken out of them."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def concerned_tests(root: Path, path: str) -> list[str]:
    """The tests that import a module after its own examples: its namesake first, then what imports least.

    What a module registers is tested by its name: tests that import the registry of its folder concern it
    too. Where no test imports it, those of the modules that do.
    """
    stem, own = Path(path).stem, _module(Path(path))
    registry = f"{own.rpartition('.')[0]}.registry"
    modules = {own, registry} if registry in imported(root / path) else {own}
    tests = {test: imported(test) for test in sorted((root / "tests").glob("test_*.py"))}
    if not any(names & modules for names in tests.values()):
        sources = (file for file in root.rglob("*.py") if root / "tests" not in file.parents)
        modules = {_module(file.relative_to(root)) for file in sources if imported(file) & modules}
    concerned = [test for test, names in tests.items() if names & modules]
    concerned.sort(key=lambda test: (not test.stem.endswith(stem), len(tests[test])))
    return [path, *(test.relative_to(root).as_posix() for test in concerned)]


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


@dataclass
class Tree:
    """A copy of the sources in which one mutant lives at a time.

    Attributes:
        root: its folder.
        seconds: how much time the tests of a module may take without a mutant; what is above is left out.
    """

    root: Path
    seconds: float
    durations: dict[str, float | None] = field(default_factory=dict)

    def tests(self, path: str) -> tuple[list[str], float]:
        """The tests of a module that fit in the time and find something to test, and their seconds."""
        chosen, total = list[str](), 0.0
        for test in concerned_tests(self.root, path):
            took = self._duration(test)
            if took is not None and total + took <= self.seconds:
                chosen, total = [*chosen, test], total + took
        return chosen, total

    def _duration(self, test: str) -> float | None:
        if test not in self.durations:
            begun, outcome = time.monotonic(), self.run([test], self.seconds)
            if outcome not in (0, None, NO_TESTS):
                raise click.ClickException(
                    f"expected tests that pass before a mutation, found {test} failing"
                )
            self.durations[test] = time.monotonic() - begun if outcome == 0 else None
        return self.durations[test]

    def run(self, tests: Sequence[str], limit: float) -> int | None:
        """What pytest returns; None after more seconds than the limit."""
        words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        settings = {"cwd": self.root, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        threads = os.environ | {"OMP_NUM_THREADS": "1"}
        try:
            return subprocess.run(words, env=threads, timeout=limit, check=False, **settings).returncode  # type: ignore[call-overload,no-any-return]
        except subprocess.TimeoutExpired:
            return None

    def kills(self, mutant: Mutant) -> bool:
        """Whether a test fails, or never ends, with the mutant; the file is then as it was."""
        path, (tests, seconds) = self.root / mutant.path, self.tests(mutant.path)
        source = path.read_text()
        try:
            self._write(path, mutant.of(source))
            return bool(tests) and self.run(tests, START + PATIENCE * seconds) != 0
        finally:
            self._write(path, source)

    def _write(self, path: Path, source: str) -> None:
        """Compiled files know a source by its second and size: a mutant may have both of another."""
        path.write_text(source)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()


def survey(
    root: Path, mutants: Iterable[tuple[str, Mutant]], seconds: float, say: Callable[[str], None]
) -> dict[str, list[tuple[Mutant, bool]]]:
    """Target -> its mutants, each with whether it was killed; says each as it comes."""
    outcomes = dict[str, list[tuple[Mutant, bool]]]()
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(shutil.copytree(root, Path(folder) / root.name, ignore=NOT_COPIED), seconds)
        for target, mutant in mutants:
            killed = tree.kills(mutant)
            outcomes.setdefault(target, []).append((mutant, killed))
            say(f"{'killed  ' if killed else 'SURVIVED'}  {mutant}")
    return outcomes


def report(outcomes: dict[str, list[tuple[Mutant, bool]]]) -> str:
    """Killed, of how many, and the share of each target and of all."""
    every = outcomes | {"in all": [each for some in outcomes.values() for each in some]}
    counts = {name: (sum(killed for _, killed in some), len(some)) for name, some in every.items()}
    return "\n".join(f"{n:<24}{k:>4} of {all_:>3}{k / max(all_, 1):>7.0%}" for n, (k, all_) in counts.items())


@click.command(context_settings={"max_content_width": 100})
@click.option("--count", default=50, show_default=True, type=click.IntRange(1), help="Mutants in all.")
@click.option("--seed", default=0, show_default=True, help="Of their choice.")
@click.option("--of", "targets", multiple=True, help=f"A folder or file. [default: {', '.join(TARGETS)}]")
@click.option("--seconds", default=60.0, show_default=True, help="Time of the tests of one module.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(count: int, seed: int, targets: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Changes one line of the core at a time and says whether a test notices."""
    missing = [name for name in targets or TARGETS if not (ROOT / name).exists()]
    if missing:
        raise click.ClickException(f"expected folders or files of {ROOT.name}, found no {', '.join(missing)}")
    mutants = drawn(ROOT, targets or TARGETS, count, seed)
    outcomes = survey(ROOT, mutants, seconds, lambda line: click.echo(line, err=True))
    every = [asdict(m) | {"target": t, "killed": k} for t, some in outcomes.items() for m, k in some]
    click.echo(json.dumps({"seed": seed, "mutants": every}, indent=2) if as_json else report(outcomes))
