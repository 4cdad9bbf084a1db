"""`python -m benchmarks.demo` explains itself, and starts only when it is asked to."""

import re

import pytest
from click.testing import CliRunner

from benchmarks import demo
from benchmarks.jobs import JobError


@pytest.fixture(autouse=True)
def nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_all(*_: object, **__: object) -> None:
        raise AssertionError("the demonstration was started")

    monkeypatch.setattr(demo, "run_all", run_all)


def test_help_starts_nothing() -> None:
    for option in ("--help", "-h"):
        shown = CliRunner().invoke(demo.main, [option])
        assert shown.exit_code == 0 and "python -m benchmarks.demo" in shown.output


def test_what_it_does_not_know_is_refused() -> None:
    for words, named in (
        (["--epochs", "1"], "No such option '?--epochs"),
        (["cifar"], r"argument \(cifar\)"),
    ):
        refused = CliRunner().invoke(demo.main, words)
        assert refused.exit_code == 2 and re.search(rf"{named}\b|{named}$", refused.stderr.strip()), (
            refused.stderr
        )


def test_a_command_that_fails_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise JobError("boed generate failed")

    monkeypatch.setattr(demo, "run_all", fails)
    done = CliRunner().invoke(demo.main, [])
    assert done.exit_code == 1 and done.output == "error: boed generate failed\n"
