"""The live line says what runs, the share that is done and the time left."""

import io
from dataclasses import dataclass

import pytest

from benchmarks.live import Live


@dataclass
class Job:
    """A command that has run for so long, and what it said last."""

    spent: float
    words: str = ""

    def seconds(self) -> float:
        return self.spent

    def last_words(self) -> str:
        return self.words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_follows_the_bars_and_what_is_done() -> None:
    live = Live({"a": 10.0, "b": 30.0}, bars=["b"], at_once=1)
    assert live.progress({"b": Job(6.0, "b:  20%|##  |")}, []) == pytest.approx((6 / 40, 34.0))
    running = {"b": Job(30.0, "b:  50%|##  |")}  # by now half as fast as expected
    assert live.progress(running, []) == pytest.approx((15 / 40, 50.0))
    assert live.progress(running, ["a"]) == pytest.approx((25 / 40, 30.0))  # a was done before


def test_what_has_no_bar_is_told_from_its_time_and_never_done() -> None:
    live = Live({"a": 10.0, "b": 10.0}, bars=["b"], at_once=2)
    running = {"a": Job(8.0), "b": Job(8.0, "b:  40%|##  |")}  # half as fast as expected
    assert live.progress(running, []) == pytest.approx((8 / 20, 12.0))
    assert live.progress({"a": Job(1000.0)}, ["b"])[0] == pytest.approx(19.5 / 20)


def test_the_pace_is_told_once_something_is_done() -> None:
    live = Live({"a": 10.0}, bars=["a"], at_once=1)
    assert live.progress({"a": Job(8.0, "a:   5%|  |")}, []) == pytest.approx((0.05, 9.5))
    assert live.progress({"a": Job(20.0, "a:  10%|# |")}, []) == pytest.approx((0.1, 180.0))


def test_the_share_never_falls() -> None:
    live = Live({"a": 10.0, "b": 10.0}, bars=["b"])
    first = live.progress({"a": Job(5.0)}, [])[0]
    assert live.progress({"a": Job(6.0), "b": Job(50.0, "b:  10%|##  |")}, [])[0] == first


def test_all_that_runs_is_in_the_line() -> None:
    line = Live({"fit": 2.0, "train": 2.0}).line(
        {"fit": Job(1.0, "fit q:  45%|##  |"), "train": Job(1.0)}, []
    )
    assert line == " 50 %, about 1 s left | fit: fit q 45% | train: ..."


def test_without_a_terminal_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, stream = [100.0], io.StringIO()
    monkeypatch.setattr("benchmarks.live.time.monotonic", lambda: now[0])
    live = Live({"a": 60.0}, stream=stream)
    for second in range(41):
        now[0] = 100.0 + second
        live({"a": Job(float(second))}, [])
    live.say("a: done")
    live.close()
    lines = stream.getvalue().splitlines()
    assert [line[:4] for line in lines] == [" 17 ", " 33 ", " 50 ", " 67 "]


def test_on_a_terminal_one_line_is_written_over() -> None:
    stream = Terminal()
    live = Live({"a": 10.0}, stream=stream)
    for second in range(3):
        live({"a": Job(float(second))}, [])
    live.say("a: 3 s")
    live.close()
    assert stream.getvalue().count("\r\033[K") == 5 and stream.getvalue().count("\n") == 1
