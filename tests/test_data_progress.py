"""Progress where there is no terminal: a line every ten seconds, by a clock that the test turns."""

import io
from pathlib import Path
from typing import Any

import pytest

from data.progress import EVERY, Lines, progress, progress_bar


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines_of(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_a_line_every_ten_seconds_with_the_share_done_and_the_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    for step in Lines(range(100), desc="fit", total=100, stream=stream, clock=clock):
        clock.now += 1.0
        assert step < 99 or len(lines_of(stream)) == 10
    assert lines_of(stream)[:3] == [
        "fit: 0 % of 100 it",
        "fit: 10 % of 100 it, 1:30 left",
        "fit: 20 % of 100 it, 1:20 left",
    ]
    assert lines_of(stream)[-1] == "fit: done after 100 it, 1:40" and len(lines_of(stream)) == 12
    assert "\r" not in stream.getvalue()


def test_short_work_is_one_line() -> None:
    stream, clock = io.StringIO(), Clock()
    list(Lines(range(5), desc="fit", total=5, stream=stream, clock=clock))
    assert lines_of(stream) == ["fit: 0 % of 5 it"]


def test_one_long_step_is_not_silent() -> None:
    stream, clock = io.StringIO(), Clock()
    with Lines[int](desc="fit", total=4, stream=stream, clock=clock) as bar:
        bar.update(1)
        clock.now += EVERY
        bar.say_if_due()  # what its thread does
        bar.say_if_due()
    assert lines_of(stream)[:2] == ["fit: 0 % of 4 it", "fit: 25 % of 4 it, 0:30 left"]
    assert len(lines_of(stream)) == 3


def test_the_time_left_is_by_what_was_done_now_and_not_before() -> None:
    stream, clock = io.StringIO(), Clock()
    with Lines[int](desc="design", total=100, initial=50, unit="image", stream=stream, clock=clock) as bar:
        clock.now += 20
        bar.set_postfix(nll="0.5")
        bar.update(10)
    assert lines_of(stream)[1] == "design: 60 % of 100 image, 1:20 left, nll 0.5"


def test_without_a_total_it_says_how_much_was_done() -> None:
    stream, clock = io.StringIO(), Clock()
    with Lines[int](desc="fit", stream=stream, clock=clock) as bar:
        clock.now += 20
        bar.update(7)
    assert lines_of(stream)[:2] == ["fit: 0 it", "fit: 7 it"]


def test_what_is_interrupted_says_so() -> None:
    stream, clock = io.StringIO(), Clock()
    with pytest.raises(KeyboardInterrupt), Lines[int](desc="fit", stream=stream, clock=clock):
        clock.now += 20
        raise KeyboardInterrupt
    assert lines_of(stream)[-1] == "fit: stopped after 0 it, 0:20"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_in_a_terminal_and_lines_elsewhere(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", stream)
    assert list(progress([1, 2], desc="fit")) == [1, 2]
    assert ("\r" in stream.getvalue()) == terminal and "fit" in stream.getvalue()


class Bare:
    """A stream that can write and nothing else."""

    def __init__(self) -> None:
        self.written = ""

    def write(self, text: str) -> None:
        self.written += text


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("no space left")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed(), Bare(), Full()], ids=["none", "closed", "bare", "full"])
def test_no_work_fails_for_want_of_standard_error(
    stream: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    assert list(progress([1, 2], desc="fit")) == [1, 2]
    with progress_bar(desc="fit", total=2) as bar:
        bar.update()
    assert capsys.readouterr().out == "" and bar.n == 1


def test_a_bar_does_not_stand_still_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    steady, day, screen = Clock(), Clock(), io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("time.monotonic", steady)
    monkeypatch.setattr("tqdm.std.time", day)
    with progress_bar(desc="fit", total=4) as bar:
        for _ in range(4):
            steady.now += 1
            day.now -= 3600
            bar.update(1)
    assert "3/4" in screen.getvalue() and "00:03" in screen.getvalue()


def test_a_widget_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    class Widget:
        def __init__(self, iterable: object, **shown: object) -> None:
            self.shown = shown

    monkeypatch.setattr("data.progress.tqdm", Widget)
    monkeypatch.setattr("data.progress.tqdm_notebook", Widget)
    bar = progress([1, 2], desc="fit", unit="image")
    assert isinstance(bar, Widget)
    assert bar.shown.items() >= {"desc": "fit", "total": 2, "initial": 0, "unit": "image"}.items()


def test_all_of_the_project_shows_progress_by_this_one() -> None:
    root = Path(__file__).resolve().parents[1]
    files = [
        path for package in ("boed", "hardattn", "supervision") for path in (root / package).rglob("*.py")
    ]
    files += [path for path in (root / "data").rglob("*.py") if path.name != "progress.py"]
    assert not [path for path in files if "tqdm" in path.read_text()]
