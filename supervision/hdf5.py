"""HDF5 files: whatever goes wrong is said in one line, and nobody is told to delete what may be whole."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from data.errors import StoreError
from data.system_errors import advice
from supervision.choices import MADE_BY

TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK)
PATIENCE, PAUSE = 5.0, 0.05  # seconds


@contextmanager
def opened(path: Path, mode: str) -> Iterator[h5py.File]:
    """The file; whatever goes wrong with it while it is open is a StoreError."""
    if not path.is_file():
        raise StoreError(
            f"expected a store of glimpse sequences at {path}, found none; make it with `{maker_of(path)}`"
        )
    with explained(path), _when_free(path, mode) as file:
        yield file


def maker_of(path: Path) -> str:
    """The command that makes stores of this name.

    >>> maker_of(Path("sequences-salient-train.h5")), maker_of(Path("sequences-saliency-50.h5"))
    ('hardattn saliency --split train', 'boed generate')
    """
    made = [maker for name, maker in MADE_BY.items() if path.stem.startswith(name)] or ["boed generate"]
    return made[0] + (" --split train" if path.stem.endswith("-train") else "")


def _when_free(path: Path, mode: str) -> h5py.File:
    """The file; one that another process has open is waited for a while, for none has it open for long."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return h5py.File(path, mode)
        except OSError as error:
            if _number(error) not in TAKEN or time.monotonic() > end:
                raise
        time.sleep(PAUSE)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of HDF5 as StoreErrors that say what kind of trouble it is."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # on closing a file HDF5's errors are RuntimeErrors
        raise StoreError(_trouble(path, error)) from None


def _trouble(path: Path, error: OSError | RuntimeError) -> str:
    """What was expected of a file, what was found, and what to do."""
    number = _number(error)
    if number in TAKEN:
        return f"expected {path} to be free, found it in use by another process; wait for it"
    if number is not None:
        todo = advice(OSError(number, "")) or "the file may be whole, try again"
        return f"expected to read and write {path}, found: {error}; {todo}"
    return (
        f"expected a whole HDF5 file, found {path} truncated or damaged ({error}); bring back a copy, or "
        "move it away and generate again"
    )


def _number(error: OSError | RuntimeError) -> int | None:
    """The number of an error of the operating system, which HDF5 may have put into its message.

    >>> _number(OSError(28, "")), _number(RuntimeError("unable to close, errno = 28, ..")), _number(OSError())
    (28, 28, None)
    """
    match = re.search(r"errno = ([0-9]+)", str(error))
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    return int(match[1]) if match else None
