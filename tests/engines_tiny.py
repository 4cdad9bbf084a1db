"""Works for the tests of engines: some kill the process that does them, once or always."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import SettingsError


def kill_this() -> None:
    """This process, as a machine that is lost would end it."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Killed:
    """A work whose worker is lost in the middle: at the n-th thing of all, the first time that it comes.

    Args:
        work: that is done.
        folder: one file for each thing that was begun.
        at: how many are begun before; the next one kills.
    """

    work: Callable[[Any], Any]
    folder: Path
    at: int = 2

    def __call__(self, thing: Any) -> Any:
        begun = len(list(self.folder.iterdir()))
        (self.folder / f"{time.time_ns()}-{os.getpid()}").touch()
        if begun >= self.at and not (flag := self.folder.with_name("killed")).exists():
            flag.touch()
            kill_this()
        return self.work(thing)


def square(number: int) -> tuple[int, int]:
    """Its square, and the process that says so; 13 is refused and 17 kills."""
    if number == 13:
        raise SettingsError("expected luck, found 13; take another")
    if number == 17:
        kill_this()
    return number**2, os.getpid()


class Square:
    """`square`, as a work that counts how often it is sent to a worker.

    Args:
        folder: one file for each time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        (self.folder / f"{os.getpid()}-{time.time_ns()}").touch()

    def __call__(self, number: int) -> tuple[int, int]:
        time.sleep(0.02)  # so that every worker has some
        return square(number)
