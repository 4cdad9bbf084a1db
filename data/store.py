"""Images decoded once into a memory-mapped uint8 array, with ids, labels and a fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

CHUNK = 256


def cache_folder() -> Path:
    """Where decoded images are kept: `$BOED_CACHE`, else `~/.cache/boed`."""
    return Path(os.environ.get("BOED_CACHE") or Path.home() / ".cache" / "boed")


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
            torch.from_numpy(labels.astype(np.int64).reshape(len(ids), -1)),
            torch.from_numpy(ids.astype(np.int64)),
            digest,
        )


def cached_store(
    key: object,
    shape: tuple[int, int, int],
    ids: np.ndarray,
    labels: np.ndarray,
    decode: Callable[[int], np.ndarray],
    *,
    title: str,
) -> ImageStore:
    """The store of `key`; decoded by `decode(n)` (n a row, not an id) when it is not there yet.

    An interrupted decoding is taken up where it stopped; a store is complete when its `store.json`
    exists, which is written last and renamed into place.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
    folder = cache_folder() / name
    if not (folder / "store.json").exists():
        _decode_all(folder, shape, ids, labels, decode, title)
    meta = json.loads((folder / "store.json").read_text())
    return ImageStore(
        _mapped(folder / "images.npy"),
        torch.from_numpy(np.load(folder / "labels.npy")),
        torch.from_numpy(np.load(folder / "ids.npy")),
        meta["fingerprint"],
    )


def _decode_all(
    folder: Path,
    shape: tuple[int, int, int],
    ids: np.ndarray,
    labels: np.ndarray,
    decode: Callable[[int], np.ndarray],
    title: str,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images, done = _open_partial(folder, (len(ids), *shape))
    progress = folder / "done.txt"
    with (
        ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool,
        tqdm(total=len(ids), initial=done, desc=title, unit="image") as bar,
    ):
        for start in range(done, len(ids), CHUNK):
            rows = range(start, min(start + CHUNK, len(ids)))
            for row, image in zip(rows, pool.map(decode, rows), strict=True):
                images[row] = image
            images.flush()
            progress.write_text(str(rows.stop))
            bar.update(len(rows))
    labels = labels.astype(np.int64).reshape(len(ids), -1)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "ids.npy", ids.astype(np.int64))
    beside = folder / "store.json.tmp"
    beside.write_text(json.dumps({"fingerprint": _fingerprint(images, labels, ids)}))
    beside.replace(folder / "store.json")


def _open_partial(folder: Path, shape: tuple[int, ...]) -> tuple[np.memmap, int]:
    path, progress = folder / "images.npy", folder / "done.txt"
    if path.exists() and progress.exists():
        return np.lib.format.open_memmap(path, mode="r+"), int(progress.read_text())
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape), 0


def _mapped(path: Path) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has no read-only tensors; nothing here writes
        return torch.from_numpy(np.load(path, mmap_mode="r"))


def _fingerprint(images: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> str:
    digest = hashlib.sha256()
    for part in (ids.astype(np.int64), labels.astype(np.int64)):
        digest.update(np.ascontiguousarray(part).tobytes())
    for start in range(0, len(images), CHUNK):
        digest.update(np.ascontiguousarray(images[start : start + CHUNK]).tobytes())
    return digest.hexdigest()
