"""Experiments behind figures of the documentation, and its tables made from what they wrote.

`python -m benchmarks.results NAME --data-root DIR` runs the experiment, or takes it up, and writes
`docs/results/NAME.json`: its rows with seeds, command, commit, machine, date and time. `python -m
benchmarks.results --tables` writes the tables of the pages from these files. In a page a table stands between
`<!-- results: NAME -->` and `<!-- end of results -->`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.result_tables import TABLES
from benchmarks.stopwatch import machine
from data.files import write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGES = ROOT / "docs" / "results", ROOT / "docs"
EXPERIMENTS = {
    "recurrent-glimpsenet": "hardattn reproduce recurrent-glimpsenet --seeds 3 --minutes 120",
    "case-study": "hardattn reproduce case-study --minutes 105",
}
ROWS = {
    "case-study": (
        *("convolutions", "REINFORCE", "translated, 6 of 8 x 8, 1", "translated, 6 of 8 x 8, 2"),
        *("translated, 6 of 12", "translated, 8 of 12", "translated, 6 of 16", "cluttered, 6 of 12 x 12, 3"),
    ),
}
"""Parts of the rows of an experiment that are run, of one that is too long to be run whole."""
BLOCK = re.compile(r"(<!-- results: ([\w-]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)
PLACES = ("run",)  # of a row, which say where things were on that machine


def provenance(command: str, seconds: float) -> dict[str, Any]:
    """Where figures come from: command, commit, machine, date, versions, seconds of training."""
    return {
        "command": command,
        "commit": _git("rev-parse", "HEAD"),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(torch.device("cpu")),
        "torch": torch.__version__,
        "seconds": round(seconds),
    }


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def made(name: str, words: Sequence[str]) -> dict[str, Any]:
    """What the experiment prints, with where it comes from.

    Args:
        name: a key of `EXPERIMENTS`.
        words: behind its command: where the data are, and the runs.
    """
    command = EXPERIMENTS[name]
    package, *options = command.split()
    asked = [sys.executable, "-m", package, *options, *words, "--json"]
    found = dict[tuple[str, int], dict[str, Any]]()
    for part in ROWS.get(name, ("",)):
        only = ["--row", part] if part else []
        printed = subprocess.run([*asked, *only], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        for row in json.loads(printed)["rows"]:
            found[row["method"], row["seed"]] = {k: v for k, v in row.items() if k not in PLACES}
    rows = list(found.values())
    about = provenance(command, sum(row["seconds"] for row in rows))
    return {"about": about | {"seeds": sorted({row["seed"] for row in rows})}, "rows": rows}


def filled(text: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """A page with its tables as the results have them.

    >>> from benchmarks.result_tables import TABLES
    >>> page = "<!-- results: none -->\\nold\\n<!-- end of results -->"
    >>> filled(page, {}) == page
    True
    """

    def fresh(match: re.Match[str]) -> str:
        name = match[2]
        return f"{match[1]}\n{TABLES[name](results[name])}\n\n{match[3]}" if name in results else match[0]

    return BLOCK.sub(fresh, text)


def known() -> dict[str, dict[str, Any]]:
    """Name of each experiment whose results are there -> its file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("names", type=click.Choice(list(EXPERIMENTS)), nargs=-1)
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--run", type=click.Path(path_type=Path), help="Folder of everything. [default: the command's]")
@click.option("--tables", is_flag=True, help="Write the tables of the pages.")
def main(names: tuple[str, ...], data_root: Path | None, run: Path | None, tables: bool) -> None:
    """Runs experiments, or takes them up, and makes the tables of the documentation from their figures.

    \b
    Examples:
      python -m benchmarks.results recurrent-glimpsenet --data-root DIR
      python -m benchmarks.results --tables
    """
    places = {"--data-root": data_root, "--run": run}
    words = [
        word for name, path in places.items() if path is not None for word in (name, str(path.resolve()))
    ]
    for name in names:
        write_json(RESULTS / f"{name}.json", made(name, words))
        click.echo(f"wrote {RESULTS / name}.json")
    for page in sorted(PAGES.rglob("*.md")) if tables else ():
        text = page.read_text()
        if (fresh := filled(text, known())) != text:
            page.write_text(fresh)
            click.echo(f"wrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
