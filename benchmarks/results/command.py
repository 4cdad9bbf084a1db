"""Experiments behind figures of the documentation, and its tables made from what they wrote.

`python -m benchmarks.results NAME --data DIR` runs the experiment, or takes it up, and writes
`docs/results/NAME.json`: its rows with seeds, command, commit, machine, date and time. `python -m
benchmarks.results --tables` writes the tables of the pages from these files. In a page a table stands between
`<!-- results: NAME -->` and `<!-- end of results -->`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.results.dependence import ROOT, digests
from benchmarks.results.experiments import EXPERIMENTS, Experiment, words
from benchmarks.results.pictures import PICTURES, drawn, is_shown
from benchmarks.results.tables.registry import TABLES
from benchmarks.stopwatch import machine
from data.cli.commands import one_line_errors
from data.errors import SettingsError
from data.files import write_json

RESULTS, DOCS = ROOT / "docs" / "results", ROOT / "docs"
RUNS = ROOT / "runs" / "results"
BLOCK = re.compile(r"(<!-- results: ([^>]+?) -->\n).*?(<!-- end of results -->)", re.DOTALL)
ALL = "all"
PLACES = ("run",)  # of a row, which say where things were on that machine


def pages() -> list[Path]:
    """The README and the pages of the documentation but for the log, whose figures are of their day."""
    return [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if page.name != "log.md")]


def made(experiment: Experiment, data: Path, run: Path, revision: str | None) -> dict[str, Any]:
    """What an experiment prints, with where it comes from.

    Args:
        data: folder of all data sets.
        run: folder of everything that it keeps.
        revision: the commit whose code trained, where it was trained before; None: this one.

    Raises:
        SettingsError: the sources are not those of a commit.
    """
    commit, began = _commit(revision), time.monotonic()
    for command in experiment.before:
        _done(words(command, data, run))
    asked = [*words(experiment.command, data, run), "--json"]
    parts = [["--row", part] for part in experiment.parts] or [[]]
    printed = [_printed([*asked, *only]) for only in parts]
    every = [_placeless(row) for found in printed for row in found.get("rows", ())]
    rows = [row for at, row in enumerate(every) if row not in every[:at]]
    seconds = [row["seconds"] for row in rows if "seconds" in row] or [time.monotonic() - began]
    about = {
        "command": experiment.told,
        "commit": commit,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(torch.device("cpu")),
        "torch": torch.__version__,
        "seconds": round(sum(seconds)),
        "seeds": sorted({seed for row in rows for seed in seeds_behind(row)}),
        "modules": digests(experiment.depends, commit),
    }
    return {"about": about, **printed[0], **({"rows": rows} if rows else {})}


def seeds_behind(row: Mapping[str, Any]) -> Sequence[int]:
    """Of the trainings behind a row: those that it lists, or its own.

    >>> seeds_behind({"seed": 0, "seeds": [0, 1]}), seeds_behind({"seed": 2, "seeds": 3}), seeds_behind({})
    ([0, 1], [2], [])
    """
    listed = row.get("seeds")
    own = [row["seed"]] if "seed" in row else []
    return listed if isinstance(listed, list) else own


def _placeless(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without where things were on the machine that made it."""
    return {name: value for name, value in row.items() if name not in PLACES}


def _printed(asked: list[str]) -> dict[str, Any]:
    """What a command prints as JSON."""
    printed: dict[str, Any] = json.loads(_done(asked))
    return printed


def _done(asked: list[str]) -> bytes:
    """What a command prints; this one ends like it where it fails, for it has said why."""
    done = subprocess.run([sys.executable, *asked], cwd=ROOT, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def _commit(revision: str | None) -> str:
    """The commit in full; raises SettingsError for none, as where the sources of now are not of one."""
    changed = _git("status", "--porcelain", "--", "*.py", "*.toml")
    if revision is None and changed:
        raise SettingsError(
            f"expected the sources of a commit, found changes in "
            f"{changed.splitlines()[0][3:]}; commit them first"
        )
    try:
        return _git("rev-parse", "--verify", f"{revision or 'HEAD'}^{{commit}}")
    except subprocess.CalledProcessError:
        raise SettingsError(f"expected a commit of this repository, found {revision!r}; change it") from None


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip(
        "\n"
    )


def stale(name: str, found: Mapping[str, Any]) -> list[str]:
    """What an experiment depends on and has changed since, without a reason why that is all the same."""
    known = dict(found["about"]["modules"])
    for kept in found["about"].get("kept", ()):
        known |= kept["modules"]
    now = digests(EXPERIMENTS[name].depends)
    return [module for module, digest in now.items() if known.get(module) != digest]


def excused(name: str, found: Mapping[str, Any], because: str) -> dict[str, Any]:
    """Results with a reason why what has changed since does not change them."""
    now = digests(EXPERIMENTS[name].depends)
    kept = {"modules": {module: now[module] for module in stale(name, found)}, "because": because}
    about = found["about"]
    return {**found, "about": {**about, "kept": [*about.get("kept", ()), kept]}}


def filled(text: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """A page with its tables as the results have them.

    >>> page = "<!-- results: none -->\\nold\\n<!-- end of results -->"
    >>> filled(page, {}) == page
    True
    """

    def fresh(match: re.Match[str]) -> str:
        found = results.get(match[2].split(":")[0])
        return f"{match[1]}\n{TABLES[match[2]](found)}\n\n{match[3]}" if found else match[0]

    return BLOCK.sub(fresh, text)


def known() -> dict[str, dict[str, Any]]:
    """Name of each experiment whose results are there -> its file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def refresh() -> Iterator[Path]:
    """Writes the tables and pictures that are not those of the files; yields what it wrote."""
    results = known()
    for page in pages():
        text = page.read_text()
        if (fresh := filled(text, results)) != text:
            page.write_text(fresh)
            yield page
    for name in sorted(PICTURES.keys() & results):
        if not is_shown(results[name], picture := DOCS / f"{name}.png"):
            drawn(results[name], PICTURES[name], picture)
            yield picture


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("names", type=click.Choice([*EXPERIMENTS, ALL]), nargs=-1)
@click.option("--data", type=click.Path(path_type=Path), default="data-root", help="Folder of all data sets.")
@click.option("--run", type=click.Path(path_type=Path), help="Of what it keeps. [default: the command's]")
@click.option("--trained-at", metavar="COMMIT", help="Whose code trained. [default: this one's]")
@click.option(
    "--same-because", metavar="REASON", help="Run nothing; why changed code makes no other figures."
)
@click.option("--tables", is_flag=True, help="Write the tables and pictures of the documentation.")
@one_line_errors()
def main(
    names: tuple[str, ...],
    data: Path,
    run: Path | None,
    trained_at: str | None,
    same_because: str | None,
    tables: bool,
) -> None:
    """Runs experiments, or takes them up, and makes the tables of the documentation from their figures.

    \b
    Examples:
      python -m benchmarks.results recurrent-glimpsenet --data DIR
      python -m benchmarks.results --tables
    """
    for name in EXPERIMENTS if ALL in names else names:
        path = RESULTS / f"{name}.json"
        if same_because:
            found = excused(name, json.loads(path.read_text()), same_because)
        else:
            found = made(EXPERIMENTS[name], data.resolve(), (run or RUNS / name).resolve(), trained_at)
        write_json(path, found)
        click.echo(f"wrote {path}")
    for path in refresh() if tables else ():
        click.echo(f"wrote {path.relative_to(ROOT)}")
