"""One process at a time in a folder or at a file, and who it is."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from data.errors import DataError
from data.progress import say
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
        wait: until it is free, which is said on standard error, instead of refusing.

    Raises:
        DataError: another process has it, which the message names; or the file system has no locks.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> with owned(place, "another training"):
    ...     print(owner_of(place).split(" since ")[0] == f"process {os.getpid()} on {platform.node()}")
    True
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder, folder / LOCK, folder / OWNER, what, wait):
        yield


@contextmanager
def owned_file(path: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Holds a file, which need not be there yet, by hidden files beside it; see `owned`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, owner = (path.with_name(f".{path.name}{kind}") for kind in (LOCK, OWNER))
    with _held(path, lock, owner, what, wait):
        yield


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
    return _read(folder / OWNER)


@contextmanager
def _held(place: Path, lock_path: Path, owner: Path, what: str, wait: bool) -> Iterator[None]:
    if not os.access(lock_path.parent, os.W_OK) and place.exists():
        yield  # nobody can write there, and what is read needs no owner
        return
    lock = FileLock(lock_path, timeout=ASKED_FOR)
    try:
        _acquire(lock, place, owner, what, wait)
    except OSError as error:
        todo = advice(error) or "name another"
        raise DataError(f"expected a place that can be locked, found {place} ({error}); {todo}") from None
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        owner.write_text(f"process {os.getpid()} on {platform.node()} since {since}")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, place: Path, owner: Path, what: str, wait: bool) -> None:
    try:
        lock.acquire()
    except Timeout:
        taken = f"expected {place} to be free, found it in use by {what} ({_read(owner)})"
        if not wait:
            raise DataError(f"{taken}; wait for that, or name another") from None
        say(f"{taken}; waiting for that")
        lock.acquire(timeout=-1)


def _read(owner: Path) -> str:
    try:
        return owner.read_text()
    except OSError:
        return "no longer known which"
