"""Photographs from image files: their central squares at one size, decoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.errors import DataError
from data.store import ImageStore, cached_store, threaded


def photo_store(
    paths: Sequence[Path], ids: np.ndarray, labels: np.ndarray, size: int, *, title: str
) -> ImageStore:
    """The files as (N, size, size, 3) uint8, decoded when they, ids or labels have changed.

    A file is taken as unchanged while its path, length and time of change are the same.

    Args:
        paths: N image files.
        ids: (N,) increasing image ids.
        labels: (N,) or (N, A).
        size: side of the square images in pixels.
        title: of the progress bar.

    Raises:
        DataError: a file cannot be read as an image; the message names it.
    """
    digest = hashlib.sha256(ids.tobytes() + labels.tobytes())
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.resolve()}\n{stat.st_size} {stat.st_mtime_ns}\n".encode())
    key = ["photographs", size, digest.hexdigest()]
    decode = threaded(lambda n: decode_square(paths[n], size))
    return cached_store(key, (size, size, 3), ids, labels, decode, title=title)


def decode_square(path: Path, size: int) -> np.ndarray:
    """(size, size, 3) uint8 of an image: its central square, resampled (Lanczos).

    Raises:
        DataError: the file cannot be read as an image; the message names it.
    """
    try:
        with Image.open(path) as image:
            image.draft("RGB", (size, size))
            side = min(image.size)
            left, top = (image.width - side) / 2, (image.height - side) / 2
            box = (left, top, left + side, top + side)
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS, box))
    except (OSError, Image.DecompressionBombError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise DataError(f"expected a readable image, found {path} ({error}); replace or remove it") from None
