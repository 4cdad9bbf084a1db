"""`python -m benchmarks.demo` explains itself, and starts only when it is asked to."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import boed.cli.main
import hardattn.cli.main
from benchmarks import demo
from benchmarks.jobs import JobError


@pytest.fixture(autouse=True)
def nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_all(*_: object, **__: object) -> None:
        raise AssertionError("the demonstration was started")

    monkeypatch.setattr(demo, "run_all", run_all)
    monkeypatch.setattr(demo, "warm_up", lambda: None)


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
    def fails(*_: object, **__: object) -> None:
        raise JobError("boed generate failed")

    monkeypatch.setattr(demo, "run_all", fails)
    done = CliRunner().invoke(demo.main, [])
    assert done.exit_code == 1 and done.output.splitlines()[-1] == "error: boed generate failed"


def test_one_fit_serves_three_seeds_of_every_row_and_one_page_shows_all() -> None:
    jobs = demo.demo_jobs()
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names)
    kinds = [demo.kind_of(job) for job in jobs]
    assert kinds.count("fit") == 1 and kinds.count("generate") == 2
    assert kinds.count("train") == kinds.count("evaluate") == 9
    for number, job in enumerate(jobs):
        assert set(job.needs) <= set(names[:number]), job.name
    last = jobs[-1]
    assert last.result == demo.REPORT == Path("runs/demo/report.html")
    assert sum(word.startswith(str(demo.OUT / "hardattn-")) for word in last.arguments) == 9
    assert {name for name in names if "train" in name or "evaluate" in name} <= set(last.needs)


def test_its_commands_are_ones_that_there_are() -> None:
    """Every option is one of its command, so that nothing is refused after a minute."""
    groups = {"boed": boed.cli.main.main, "hardattn": hardattn.cli.main.main}
    for job in demo.demo_jobs():
        _, module, name, *words = job.arguments
        command = groups[module].get_command(click.Context(groups[module]), name)
        assert command is not None
        command.make_context(name, list(words))
        assert demo.EXPECTED[demo.kind_of(job)] > 0
