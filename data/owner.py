"""One process at a time in a folder, and who it is."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from data.errors import DataError
from data.system_errors import advice

LOCK, OWNER = ".lock", ".owner"
ASKED_FOR = 0.2
"""Seconds: as long as another process may have the lock only to see whether anybody has it."""


@contextmanager
def owned(folder: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Holds a folder; a process that dies lets it go.

    Args:
        folder: made where it is missing.
        what: the process does there, for whoever finds it taken: "another training".
        wait: until it is free, instead of refusing.

    Raises:
        DataError: another process has it, which the message names; or the file system has no locks.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> with owned(place, "another training"):
    ...     print(owner_of(place).split(" since ")[0] == f"process {os.getpid()} on {platform.node()}")
    True
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=-1 if wait else ASKED_FOR)
    try:
        lock.acquire()
    except Timeout:
        raise DataError(
            f"expected {folder} to be free, found it in use by {what} ({owner_of(folder)}); wait for "
            "that, or name another folder"
        ) from None
    except OSError as error:
        todo = advice(error) or "name another"
        raise DataError(f"expected a folder that can be locked, found {folder} ({error}); {todo}") from None
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        (folder / OWNER).write_text(f"process {os.getpid()} on {platform.node()} since {since}")
        yield
    finally:
        (folder / OWNER).unlink(missing_ok=True)
        lock.release()


def held_by(folder: Path) -> str | None:
    """Who holds a folder now; None: nobody.

    Where the folder cannot be locked, it goes by what was written there.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> held_by(place) is None
    True
    >>> with owned(place, "another training"):
    ...     held_by(place) == owner_of(place)
    True
    """
    if not (folder / LOCK).exists():
        return None
    try:
        with FileLock(folder / LOCK, timeout=0):
            return None
    except Timeout:
        return owner_of(folder)
    except OSError:
        return owner_of(folder) if (folder / OWNER).exists() else None


def owner_of(folder: Path) -> str:
    """Who holds a folder, as far as is known."""
    try:
        return (folder / OWNER).read_text()
    except OSError:
        return "no longer known which"
