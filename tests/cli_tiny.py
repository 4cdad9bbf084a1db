"""Calls of the command line `boed`, and how both command lines refuse bad input."""

from __future__ import annotations

import re

from click.testing import CliRunner, Result

from boed.cli.main import main

MISSPELT = re.compile(r"no such option|no such command|unexpected extra argument", re.IGNORECASE)


def call(*arguments: object) -> Result:
    """`boed ARGUMENTS`."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_refused(result: Result, word: str, *words: str, progress: int | None = 0) -> None:
    """One line that says what was expected and what was found, and names these words; nothing else.

    An option that there is not is refused too, in words that may be much the same: that is no answer to
    what a test asks. So many lines of progress may come before, any number where it is None.
    """
    assert result.exit_code == 2, result.output
    assert result.stdout == "" or progress is None, result.stdout
    *before, line = result.stderr.splitlines()
    assert progress is None or len(before) == progress, result.stderr
    assert line.startswith("error: ") and not MISSPELT.search(line), line
    assert all(each in line for each in ("expected", "found", word, *words)), (line, word, words)
