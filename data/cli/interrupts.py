"""Ctrl-C and SIGTERM: a command ends in order, says so in one line, and exits with 128 and the signal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click

KEPT, LOST = "interrupted; the same command takes it up again", "interrupted"


class Terminated(KeyboardInterrupt):
    """SIGTERM has come, as a scheduler sends it: whatever cleans up after Ctrl-C does so after this."""


@contextmanager
def terminable() -> Iterator[None]:
    """While it lasts SIGTERM raises `Terminated`; not where it is ignored or somebody else answers it.

    >>> import os
    >>> with terminable():
    ...     try:
    ...         os.kill(os.getpid(), signal.SIGTERM)
    ...     except KeyboardInterrupt as interrupt:
    ...         print(code_of(interrupt))
    143
    """
    here = threading.current_thread() is threading.main_thread()  # no other thread can set handlers
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if here else {}
    if before.get(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that was not set from Python stays
                signal.signal(number, handler)


def end(interrupt: KeyboardInterrupt, message: str = LOST) -> NoReturn:
    """One line on standard error, and the exit code; a second signal does not come in between."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    click.echo(message, err=True)
    sys.exit(code_of(interrupt))


def code_of(interrupt: KeyboardInterrupt) -> int:
    """The exit code: 143 of SIGTERM, else 130."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
