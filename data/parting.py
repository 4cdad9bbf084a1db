"""Photographs that nobody has parted into splits: a hash of the bytes of each file does.

So a file stays in its split whatever its name is and whichever others come or go, and copies of one image
come into the same split, even from folders of different classes: none is tested on that was trained on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.store import threaded
from data.system_errors import advice

TENTHS = ("design", "valid", "test", "test", *["train"] * 6)  # of the files, by the hash of their bytes
PARTED = (
    "no train/ and val/: a hash of the bytes of each file puts a tenth of them into design, a tenth into "
    "valid, two tenths into test and the others into train, copies of one image together"
)
KNOWN = 2**20  # files whose hashes are kept


def part_of_bytes(paths: Sequence[Path]) -> list[str]:
    """The split of each file."""
    return [TENTHS[int.from_bytes(digest[:8], "big") % len(TENTHS)] for digest in digests(paths)]


def first_copies(paths: Sequence[Path]) -> np.ndarray:
    """(N,) position of the first file with the same bytes, of each of N."""
    first = dict[bytes, int]()
    return np.array([first.setdefault(digest, n) for n, digest in enumerate(digests(paths))], np.int64)


def digests(paths: Sequence[Path]) -> list[bytes]:
    """SHA-256 of the bytes of each file; a file that has not changed is read once by a process.

    Raises:
        DataError: a file cannot be read; the message names it.
    """
    found = threaded(lambda n: np.frombuffer(_digest_of(paths[n]), np.uint8))(range(len(paths)))
    return [digest.tobytes() for digest in found]


def _digest_of(path: Path) -> bytes:
    try:
        stat = path.stat()
        return _digest(os.fspath(path.resolve()), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        todo = advice(error) or "replace or remove it"
        raise DataError(f"expected a readable image, found {path} ({error}); {todo}") from None


@lru_cache(maxsize=KNOWN)
def _digest(path: str, _size: int, _changed: int) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
