"""The examples in the README and the pages, with what they print: `python -m benchmarks.readme`.

A block of Python that is a file of docs/examples stands below `<!-- example: FILE -->`, and what that file
prints stands below `<!-- output: FILE -->`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "docs" / "examples"
BLOCK = re.compile(
    r"(?P<mark><!-- (?P<kind>example|output): (?P<file>[\w/]+\.py)[^>]*-->\n```\w+\n)(?P<text>.*?)(?=```)",
    re.DOTALL,
)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--source-only", is_flag=True, help="Leave what the examples print as it is.")
def main(source_only: bool) -> None:
    """Writes the examples of docs/examples, and what they print, into the README and the pages.

    \b
    Examples:
      python -m benchmarks.readme
      python -m benchmarks.readme --source-only
    """
    printed: dict[str, str] = {}

    def output(file: str) -> str:
        if file not in printed:
            click.echo(f"running {file}", err=True)
            printed[file] = run(EXAMPLES / file)
        return printed[file]

    for page in pages():
        text = page.read_text()
        fresh = refreshed(text, source, None if source_only else output)
        if fresh != text:
            page.write_text(fresh)
            click.echo(f"wrote {page.relative_to(ROOT)}")


def pages() -> list[Path]:
    """The README and the pages of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def refreshed(page: str, code: Callable[[str], str], output: Callable[[str], str] | None) -> str:
    """The page with the code of its examples, and what they print unless `output` is None.

    >>> page = "<!-- example: a.py -->\\n```python\\nold\\n```\\n"
    >>> print(refreshed(page, lambda file: f"# {file}\\n", None))
    <!-- example: a.py -->
    ```python
    # a.py
    ```
    <BLANKLINE>
    """

    def replaced(block: re.Match[str]) -> str:
        if block["kind"] == "example":
            return block["mark"] + code(block["file"])
        return block[0] if output is None else block["mark"] + output(block["file"])

    return BLOCK.sub(replaced, page)


def source(file: str) -> str:
    """An example without the docstring of its module."""
    return (EXAMPLES / file).read_text().partition('"""\n\n')[2]


def run(example: Path) -> str:
    """What an example prints, run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(example)]
        paths = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=folder, env=paths, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"error: expected {example.name} to run, found exit code {done.returncode}; see above")
    return done.stdout


if __name__ == "__main__":
    main()
