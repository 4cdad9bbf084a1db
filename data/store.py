"""Images decoded once into a memory-mapped uint8 array, with ids, labels and a fingerprint."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.errors import DataError, one_line
from data.files import parse_json, write_text
from data.owner import owned
from data.progress import progress_bar
from data.system_errors import advice

CHUNK = 256


def cache_folder() -> Path:
    """Where decoded images are kept: `$BOED_CACHE`, else `~/.cache/boed`.

    Raises:
        DataError: there is neither.
    """
    try:
        return Path(os.environ.get("BOED_CACHE") or Path.home() / ".cache" / "boed")
    except RuntimeError:
        raise DataError(
            "expected a home folder to keep decoded images in, found none; set BOED_CACHE to a folder"
        ) from None


@dataclass(frozen=True)
class ImageStore:
    """Decoded images of one split.

    Attributes:
        images: (N, H, W, C) uint8, a memory map: only the pages that are read come into memory.
        labels: (N, A) int64, one column per target.
        ids: (N,) int64 image ids, increasing.
        fingerprint: SHA-256 over ids, labels and bytes.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor
    fingerprint: str

    @classmethod
    def from_arrays(cls, images: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> ImageStore:
        """A store in memory, for images that are made rather than read."""
        digest = _fingerprint(images, labels, ids)
        return cls(
            torch.from_numpy(np.ascontiguousarray(images)),
            torch.from_numpy(_columns(labels)),
            torch.from_numpy(ids.astype(np.int64)),
            digest,
        )


def cached_store(
    key: object,
    shape: tuple[int, int, int],
    ids: np.ndarray,
    labels: np.ndarray,
    decode: Callable[[range], Iterable[np.ndarray]],
    *,
    title: str,
) -> ImageStore:
    """The store of `key`; decoded when it is not there yet.

    An interrupted decoding is taken up where it stopped; a store is complete when its `store.json`
    exists, which is written last and renamed into place. Of several processes that ask at once one
    decodes and the others wait.

    Args:
        key: JSON-able; all that the images, labels and ids depend on.
        shape: (H, W, C) of an image.
        ids: (N,) increasing image ids.
        labels: (N,) or (N, A).
        decode: rows (not ids) -> their images, (H, W, C) uint8 each; `threaded` makes one from a
            function of a single row.
        title: of the progress bar.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
    folder = cache_folder() / name
    if not (folder / "store.json").exists():
        with _explained(folder), owned(folder, "another decoding", wait=True):
            if not (folder / "store.json").exists():
                try:
                    _decode_all(folder, shape, ids, labels, decode, title)
                except DataError:  # another file in its place makes another key: this one would be left over
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
    images, fingerprint = _whole(folder, (len(ids), *shape))
    return ImageStore(
        images, torch.from_numpy(_columns(labels)), torch.from_numpy(ids.astype(np.int64)), fingerprint
    )


def threaded(decode: Callable[[int], np.ndarray]) -> Callable[[range], Iterator[np.ndarray]]:
    """For `cached_store`: decodes the rows one by one, on a few threads.

    >>> [int(image[0]) for image in threaded(lambda n: np.full(1, n))(range(3))]
    [0, 1, 2]
    """

    def rows(chosen: range) -> Iterator[np.ndarray]:
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            yield from pool.map(decode, chosen)

    return rows


def _decode_all(
    folder: Path,
    shape: tuple[int, int, int],
    ids: np.ndarray,
    labels: np.ndarray,
    decode: Callable[[range], Iterable[np.ndarray]],
    title: str,
) -> None:
    images, done = _open_partial(folder, (len(ids), *shape))
    with progress_bar(total=len(ids), initial=done, desc=title, unit="image") as bar:
        for start in range(done, len(ids), CHUNK):
            rows = range(start, min(start + CHUNK, len(ids)))
            for row, image in zip(rows, decode(rows), strict=True):
                images[row] = image
            images.flush()
            write_text(folder / "done.txt", str(rows.stop))
            bar.update(len(rows))
    write_text(folder / "store.json", json.dumps({"fingerprint": _fingerprint(images, labels, ids)}))


def _whole(folder: Path, shape: tuple[int, ...]) -> tuple[Tensor, str]:
    """Images and fingerprint of a complete store; raises DataError where they are damaged."""
    try:
        fingerprint = parse_json((folder / "store.json").read_bytes())["fingerprint"]
        if not re.fullmatch("[0-9a-f]{64}", fingerprint):
            raise ValueError("a fingerprint that is none")
        return _mapped(folder / "images.npy", shape), fingerprint
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"expected whole decoded images in {folder}, found them damaged ({one_line(str(error))}); "
            "remove that folder, they are decoded again"
        ) from None


def _columns(labels: np.ndarray) -> np.ndarray:
    """(N, A) int64, one column per target."""
    return (labels if labels.ndim == 2 else labels[:, None]).astype(np.int64)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Errors of the system while a cache is written, as one line that names its folder."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"expected a cache that can be written, found {folder} ({error}); "
            f"{advice(error) or 'try again'}; BOED_CACHE names another folder"
        ) from None


def _open_partial(folder: Path, shape: tuple[int, ...]) -> tuple[np.memmap, int]:
    path, progress = folder / "images.npy", folder / "done.txt"
    if path.exists() and progress.exists():
        try:
            done = int(progress.read_bytes())
            _mapped(path, shape)
            if 0 <= done <= shape[0]:
                return np.lib.format.open_memmap(path, mode="r+"), done
        except ValueError:
            pass  # what is damaged is decoded from the beginning
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    try:
        _reserve(path)
    except OSError:
        path.unlink()  # the room that was there is given back
        raise
    return images, 0


def _reserve(path: Path) -> None:
    """Takes the room of a file whose length is set: a map of what the disk lacks would end the process."""
    size = path.stat().st_size
    if not hasattr(os, "posix_fallocate"):
        if shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Images of this shape in a file; raises ValueError for anything else."""
    try:
        array = np.load(path, mmap_mode="r")
    except OSError:
        raise
    except Exception as error:  # of a broken header numpy raises nearly anything
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if array.shape != shape or array.dtype != np.uint8:
        raise ValueError(f"{array.dtype} of {array.shape} instead of {shape}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has no read-only tensors; nothing here writes
        return torch.from_numpy(array)


def _fingerprint(images: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> str:
    digest = hashlib.sha256()
    for part in (ids.astype(np.int64), labels.astype(np.int64)):
        digest.update(np.ascontiguousarray(part).tobytes())
    for start in range(0, len(images), CHUNK):
        digest.update(np.ascontiguousarray(images[start : start + CHUNK]).tobytes())
    return digest.hexdigest()
