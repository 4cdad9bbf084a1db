"""A live line about commands: what runs, the share that is done, the time that is left."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Collection, Mapping
from typing import Protocol, TextIO

EVERY = 10.0  # seconds between two lines where there is no terminal
TOLD = 1.0  # expected seconds of work that tell how fast things go
ALMOST = 0.95  # most that time alone says of a command that still runs


class Underway(Protocol):
    """A command that runs, see `benchmarks.jobs.Running`."""

    def seconds(self) -> float: ...

    def last_words(self) -> str: ...


class Live:
    """One line, written again and again on a terminal, and every ten seconds elsewhere.

    What a command still needs is told from its own progress bar, if it has one, else from how long it was
    expected to take and how much slower than expected everything has been so far.

    Args:
        expected: seconds by name of the command, on some machine.
        bars: names of commands with one progress bar from their beginning to their end.
        at_once: how many commands run side by side.
        stream: where the line goes.
    """

    def __init__(
        self,
        expected: Mapping[str, float],
        *,
        bars: Collection[str] = (),
        at_once: int = 2,
        stream: TextIO | None = None,
    ) -> None:
        self.expected, self.bars, self.at_once = expected, bars, at_once
        self.stream = stream or sys.stderr
        self.said = time.monotonic()
        self.spent: dict[str, float] = {}  # seconds of what ran since this began
        self.most = 0.0

    def __call__(self, running: Mapping[str, Underway], done: Collection[str]) -> None:
        """Shows the state, where it is time to."""
        now, terminal = time.monotonic(), self.stream.isatty()
        if not terminal and now - self.said < EVERY:
            return
        self.said = now
        line = self.line(running, done)
        if terminal:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"\r\033[K{line[:width]}\r")
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def say(self, words: str) -> None:
        """Writes a line that stays: on a terminal alone, where it can be told apart."""
        if self.stream.isatty():
            self.stream.write(f"\r\033[K{words}\n")

    def close(self) -> None:
        """Takes the line away."""
        if self.stream.isatty():
            self.stream.write("\r\033[K")
            self.stream.flush()

    def line(self, running: Mapping[str, Underway], done: Collection[str]) -> str:
        """Share, time left and the last words of everything that runs."""
        share, left = self.progress(running, done)
        words = " | ".join(f"{name}: {brief(its.last_words())}" for name, its in running.items())
        return f"{100 * share:3.0f} %, about {left:.0f} s left | {words}"

    def progress(self, running: Mapping[str, Underway], done: Collection[str]) -> tuple[float, float]:
        """Share of the expected work that is done, which never falls, and seconds that are left."""
        self.spent |= {name: its.seconds() for name, its in running.items()}
        shares = {name: 1.0 for name in done}
        shares |= {name: share_of(its.last_words()) for name, its in running.items() if name in self.bars}
        rate = self._rate(shares)
        for name in running.keys() - shares.keys():
            shares[name] = min(ALMOST, self.spent[name] * rate / max(self._of(name), 1e-9))
        total, reached = sum(self.expected.values()), sum(self._of(name) * s for name, s in shares.items())
        self.most = max(self.most, reached / total)
        return self.most, (total - reached) / (rate * self.at_once)

    def _rate(self, shares: Mapping[str, float]) -> float:
        """Expected seconds of work in a second of a command; 1 until enough is done to tell it from."""
        measured = [name for name in shares if name in self.spent]
        work = sum(self._of(name) * shares[name] for name in measured)
        spent = sum(self.spent[name] for name in measured)
        return work / spent if work >= TOLD and spent > 0 else 1.0

    def _of(self, name: str) -> float:
        return self.expected.get(name, 0.0)


def share_of(words: str) -> float:
    """Share in the last progress bar of some words; 0 without one.

    >>> share_of("fit q:  45%|####      | 45/100"), share_of("hello")
    (0.45, 0.0)
    """
    percentages = re.findall(r"(\d+)%\|", words)
    return int(percentages[-1]) / 100 if percentages else 0.0


def brief(words: str) -> str:
    """Title and share of a progress bar.

    >>> brief("fit q:  45%|####      | 45/100 [00:10<00:12]"), brief("")
    ('fit q 45%', '...')
    """
    bar = re.match(r"(.*?):?\s+(\d+)%\|", words)
    return f"{bar[1]} {bar[2]}%" if bar else words[:60] or "..."
