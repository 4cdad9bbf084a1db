"""Calls of the command line `boed`, and how it refuses bad input."""

from __future__ import annotations

from click.testing import CliRunner, Result

from boed.cli.main import main


def call(*arguments: object) -> Result:
    """`boed ARGUMENTS`."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_refused(result: Result, *words: str) -> None:
    """One line that says what was expected and what was found, and these words; nothing else."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert all(word in result.stderr for word in ("expected", "found", *words)), result.stderr
