"""A clock for tests of what takes time: it stands still."""

from __future__ import annotations


class Clock:
    """Seconds that pass when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def work(self, seconds: float) -> None:
        self.now += seconds
