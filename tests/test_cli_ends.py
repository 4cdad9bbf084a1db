"""How commands end: interrupted they promise what they keep, and without streams they do their work."""

import io
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from data.cli.commands import Command, Commands, standing_in

ROOT = Path(__file__).resolve().parents[1]
RESUMABLE = {
    "boed": {"benchmark", "fit", "generate", "merge"},
    "hardattn": {"benchmark", "frontier", "record", "reproduce", "saliency", "train"},
}


@click.command(cls=Command, resumable=True)
def keeps() -> None:
    raise KeyboardInterrupt


@click.command(cls=Command)
def forgets() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "message"),
    [("keeps", "interrupted; the same command takes it up again"), ("forgets", "interrupted")],
)
def test_an_interrupted_command_says_whether_it_is_taken_up(name: str, message: str) -> None:
    group = Commands("all", places={each: f"{__name__}:{each}" for each in ("keeps", "forgets")})
    result = CliRunner().invoke(group, [name])
    assert (result.exit_code, result.stdout, result.stderr.splitlines()) == (130, "", [message])


@click.command(cls=Command, resumable=True)
@click.argument("number", type=int)
def struck(number: int) -> None:
    os.kill(os.getpid(), number)
    click.echo("went on")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_in_order(number: int, code: int) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    result = CliRunner().invoke(
        Commands("all", places={"struck": f"{__name__}:struck"}), ["struck", f"{number}"]
    )
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == "interrupted; the same command takes it up again\n"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        group = Commands("all", places={"struck": f"{__name__}:struck"})
        result = CliRunner().invoke(group, ["struck", f"{signal.SIGTERM.value}"])
        assert (result.exit_code, result.stdout) == (0, "went on\n")
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("program", RESUMABLE)
def test_those_that_keep_states_are_taken_up(program: str) -> None:
    group: Any = import_module(f"{program}.cli.main").main
    assert {name for name in group.commands if group.commands[name].resumable} == RESUMABLE[program]


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("hardattn parts --out kept.h5", 0),
        ("boed fit --iterations 0", 2),
        ("boed --help", 0),
    ],
)
def test_without_streams_a_command_does_its_work(closed: str, words: str, code: int, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec '{sys.executable}' -m {words} {closed}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "kept.h5").is_file() == ("kept.h5" in words)


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", b"a\xf1o"), ("ascii", b"a\\udcf1o")])
def test_names_that_are_no_text_are_printed(
    encoding: str, shown: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, errors="strict")
    monkeypatch.setattr("sys.stdout", stream)
    with standing_in():
        print("a\udcf1o", flush=True)
    assert raw.getvalue() == shown + b"\n" and stream.errors == "strict"
