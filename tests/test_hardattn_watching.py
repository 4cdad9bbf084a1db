"""Watching a training: its curves as text, and that it ends when the training is over or nobody runs it."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hardattn_tiny import interrupted_after, tiny_dataset

from data.logs import read_log
from data.owner import held_by, owned
from data.text_curves import EMPTY, text_curve
from hardattn.cli.main import main
from hardattn.runs import train
from hardattn.training.budget import Budget
from hardattn.watching import look, watch

SHORT: dict[str, Any] = {"device": "cpu", "batch_size": 16, "hidden": 8, "budget": Budget(epochs=2)}


def dots(lines: list[str], label: int) -> set[tuple[int, int]]:
    """Row and column of every dot of a curve without its labels."""
    marks = (0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80)
    return {
        (4 * row + y, 2 * column + x)
        for row, line in enumerate(lines)
        for column, letter in enumerate(line[label:])
        for y in range(4)
        for x in range(2)
        if letter != " " and (ord(letter) - EMPTY) & marks[y][x]
    }


def test_a_straight_line_is_a_diagonal_and_a_step_is_upright() -> None:
    falling = text_curve([0, 7], [1, 0], width=4, height=2)
    assert dots(falling[:2], 3) == {(n, n) for n in range(8)}
    rising = text_curve([0, 3, 4, 7], [0, 0, 1, 1], width=4, height=2)
    low, high = {(7, n) for n in range(4)}, {(0, n) for n in range(4, 8)}
    assert dots(rising[:2], 3) == low | high | {(n, 4) for n in range(7)}
    assert [line[:3] for line in falling] == ["1 |", "0 |", "   "] and falling[-1].split() == ["0", "7"]


def test_what_does_not_change_is_a_line_at_the_foot() -> None:
    assert dots(text_curve([5, 5], [2, 2], width=3, height=2)[:2], 3) == {(7, n) for n in range(6)}


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was interrupted after four of six iterations."""
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 2)
    with interrupted_after(5, monkeypatch):
        train(tiny_dataset(), tmp_path / "run", **SHORT)
    return tmp_path / "run"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["watch", *map(str, arguments)])


def test_it_is_watched_until_it_is_over(left: Path) -> None:
    states, lock = list[str](), ExitStack()
    lock.enter_context(owned(left, "another training"))

    def sleep(seconds: float) -> None:
        assert seconds == 3 and len(states) < 3
        if len(states) == 2:
            lock.close()
            train(tiny_dataset(), left, **SHORT)

    for seen in watch(left, every=3, sleep=sleep):
        states.append(seen.state())
    *running, last = states
    assert [state.split(", by process ")[0] for state in running] == ["4 of 6 iterations"] * 2
    assert last == "finished: 6 of 6 iterations" and seen.standing.log == list(read_log(left / "log.jsonl"))


def test_nobody_is_training_it(left: Path) -> None:
    state = "nobody is training it: left after 4 of 6 iterations; the same command takes it up again"
    assert [seen.state() for seen in watch(left)] == [state]
    (before, *curves, newest) = call(left, "--once").output.splitlines()
    assert before == f"{left}: {state}" and newest.startswith("iteration 4, 0:0")
    assert "validation NLL, nats" in curves and "validation accuracy" in curves
    assert call(left).output.splitlines() == [newest, state]


def test_a_folder_of_no_run_is_refused(tmp_path: Path) -> None:
    done = call(tmp_path)
    assert done.exit_code == 2 and "expected the folder of a training run, found no" in done.stderr


def test_before_the_first_check_there_is_nothing_to_draw(left: Path) -> None:
    for name in ("log.jsonl", "last.safetensors"):
        (left / name).unlink()
    assert look(left).text().splitlines()[1:] == ["no check yet"]


def test_to_ask_who_holds_a_folder_leaves_no_trace(tmp_path: Path) -> None:
    assert held_by(tmp_path) is None and not list(tmp_path.iterdir())
    with owned(tmp_path, "another training"):
        pass
    (tmp_path / ".owner").write_text("a process that was killed")
    assert held_by(tmp_path) is None
