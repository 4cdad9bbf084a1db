"""Photographs from image files: their central squares at one size, decoded once."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from data.errors import DataError
from data.modes import shown, upright_extent
from data.store import ImageStore, cached_store, threaded
from data.system_errors import advice

MOST_PIXELS, LONGEST = (
    89_478_485,
    65_535,
)  # a quarter of a gigabyte in three channels, and a JPEG's longest side
_ONE_THREAD = Lock()


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
        digest.update(os.fsencode(path.resolve()))  # a name need not be UTF-8
        digest.update(f"\n{stat.st_size} {stat.st_mtime_ns}\n".encode())
    key = ["photographs", size, digest.hexdigest()]
    decode = threaded(lambda n: decode_square(paths[n], size))
    return cached_store(key, (size, size, 3), ids, labels, decode, title=title)


def decode_square(path: Path, size: int) -> np.ndarray:
    """(size, size, 3) uint8 of an image: its central square, resampled (Lanczos).

    Raises:
        DataError: the file cannot be read as an image; the message names it.
    """
    with opened_photo(path) as image:
        return squared(image, size, "RGB")


def squared(image: Image.Image, size: int, mode: str) -> np.ndarray:
    """(size, size, 3) uint8 of an image, (size, size) in grey: its central square, resampled (Lanczos).

    Args:
        mode: "RGB" or "L", see `data.modes.shown`.

    Raises:
        DataError: see `data.modes.shown`.

    >>> squared(Image.new("RGB", (40, 30)), 16, "L").shape
    (16, 16)
    """
    image.draft(mode, (size, size))  # of a JPEG, decoded smaller
    _require_small(image)
    upright = shown(image, mode)
    (left, top), side = central_square(np.array(upright.size))
    box = (left, top, left + side[0], top + side[0])
    return np.asarray(upright.resize((size, size), Image.Resampling.LANCZOS, box))


def _require_small(image: Image.Image) -> None:
    """Raises DataError for what would take gigabytes of memory: a small file may claim to be any size."""
    if image.width * image.height > MOST_PIXELS or max(image.size) > LONGEST:
        raise DataError(
            f"expected an image of at most {MOST_PIXELS:,} pixels, {LONGEST:,} a side, found "
            f"{image.width:,} x {image.height:,}; make it smaller"
        )


def central_square(extents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First corner (..., 2) and side (..., 1) of the central squares of extents (..., 2), in pixels.

    >>> corner, side = central_square(np.array([40, 30]))
    >>> corner.tolist(), side.tolist()
    ([5.0, 0.0], [30])
    """
    side = extents.min(-1, keepdims=True)
    return (extents - side) / 2, side


def in_square(points: np.ndarray, extents: np.ndarray, size: int) -> np.ndarray:
    """Where points of photographs come to lie in their squares, as `decode_square` makes them.

    p' = (p - corner) size / side; below 0 or above `size` outside of the square.

    Args:
        points: (N, P, 2) row and column, in pixels from the first corner of the photograph.
        extents: (N, 2) height and width of the photographs in pixels.
        size: side of the squares in pixels.

    >>> in_square(np.array([[[15.0, 5.0]]]), np.array([[30, 40]]), 60).tolist()
    [[[30.0, 0.0]]]
    """
    corner, side = central_square(extents)
    inside: np.ndarray = (points - corner[:, None]) * (size / side[:, None])
    return inside


def photo_extents(paths: Sequence[Path]) -> np.ndarray:
    """(N, 2) height and width of the photographs in pixels, as they are shown; only headers are read.

    Raises:
        DataError: a file cannot be read as an image; the message names it.
    """
    extents = np.zeros((len(paths), 2), np.int64)
    for row, path in enumerate(paths):
        with opened_photo(path) as image:
            extents[row] = upright_extent(image)
    return extents


def _unwarned(path: Path) -> Image.Image:
    """Opens an image; of a large one Pillow only warns, and filters of warnings are those of all threads."""
    with _ONE_THREAD, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


@contextmanager
def opened_photo(path: Path) -> Iterator[Image.Image]:
    """The image of a file; whatever goes wrong while it is read is a DataError that names it.

    A decoder that meets a broken file may raise nearly anything, so no list of errors would be whole.
    """
    try:
        with _unwarned(path) as image:
            yield image
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        todo = advice(error) or "replace or remove it"
        raise DataError(f"expected a readable image, found {path} ({error}); {todo}") from None
    except Exception as error:
        kind = type(error).__name__
        raise DataError(
            f"expected a readable image, found {path} ({kind}: {error}); replace or remove it"
        ) from None
