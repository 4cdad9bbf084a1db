"""Stores of shards, made anywhere, joined into the store that one process would have written."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.errors import StoreError
from data.progress import progress
from supervision.hdf5 import opened
from supervision.store import SequenceStore, filling

BLOCK = 1000  # sequences that are copied at a time
AGAIN = "run `boed generate` with its --shard again"


def merge(paths: Sequence[Path | str], out: Path | str) -> SequenceStore:
    """Joins the stores of all shards of some images, which `boed generate --shard` has made.

    The bytes are those of a store for all images at once, but for the seconds: those of the shards are added.
    An interrupted merging is taken up, and what is in the store is not copied again.

    Args:
        paths: of the stores, in any order; of a folder those are taken that end in .h5.
        out: of the store of them all; one that is there must be of the same settings.

    Raises:
        StoreError: a shard is missing, there twice, unfinished or damaged; they are of different settings,
            approximations or numbers of images; or the store cannot be written. Nothing is written then.
    """
    shards = [SequenceStore.read(path) for path in _files(paths, Path(out))]
    _require_alike(shards)
    _require_whole(shards)
    for shard in shards:
        _require_sealed(shard)
    _require_disjoint(shards)
    first, ids = shards[0], torch.cat([shard.ids for shard in shards])
    with filling(Path(out)):
        merged = SequenceStore.write_to(
            Path(out),
            first.settings,
            ids.sort().values,
            first.steps,
            first.candidates,
            origin=first.origin,
            software=first.software,
        )
        for shard in progress(shards, desc="merge", unit="shard"):
            _copy(shard, merged)
    return merged


def seal(store: SequenceStore) -> None:
    """Notes the digest of a finished shard, by which damage is noticed before it is merged."""
    with opened(store.path, "r+") as file:
        file.attrs.modify("digest", np.bytes_(_digest(store)))


def _files(paths: Sequence[Path | str], out: Path) -> list[Path]:
    """The stores that are named, those of folders among them but for the one that is made."""
    named = [Path(path) for path in paths]
    found = list[Path]()
    for path in named:
        inside = [file for file in sorted(path.glob("*.h5")) if file.resolve() != out.resolve()]
        found += inside if path.is_dir() else [path]
    if not found:
        raise StoreError(
            f"expected stores of shards, found none in {', '.join(map(str, named)) or 'nothing'}; make them "
            "with `boed generate --shard`"
        )
    return found


def _require_alike(shards: Sequence[SequenceStore]) -> None:
    """Raises StoreError where two are not of the same designs, with both values."""
    first, steps = shards[0], shards[0].steps
    for each in shards:
        if each.shard is None:
            raise StoreError(f"expected the store of a shard, found {each.path} of all images; leave it out")
        for name in sorted(first.settings.keys() | each.settings.keys()):
            _require_same(name, first.settings.get(name), each.settings.get(name), each.path, first.path)
        _require_same("glimpses", steps, each.steps, each.path, first.path)
        _require_same("software", first.software, each.software, each.path, first.path)
        if not torch.equal(first.candidates, each.candidates):
            raise StoreError(f"expected the candidates of {first.path} in {each.path}, found others; {AGAIN}")


def _require_same(name: str, expected: object, found: object, path: Path, first: Path) -> None:
    if json.dumps(expected, sort_keys=True) != json.dumps(found, sort_keys=True):
        raise StoreError(
            f"expected {path} with {name} = {json.dumps(expected)} as in {first}, found {json.dumps(found)}; "
            "merge shards made alike"
        )


def _require_whole(shards: Sequence[SequenceStore]) -> None:
    """Raises StoreError where a shard is missing, there twice, or of another number of images."""
    known = {store.path: store.shard for store in shards if store.shard is not None}
    of = sorted({shard.of for shard in known.values()})
    if len(of) > 1:
        raise StoreError(
            f"expected shards of one partition, found some of {' and of '.join(map(str, of))}; name those of "
            "one of them"
        )
    counted = Counter(store.shard.number for store in shards if store.shard is not None)
    missing = [number for number in range(1, of[0] + 1) if number not in counted]
    if missing:
        raise StoreError(
            f"expected all {of[0]} shards, found no {_listed(missing, of[0])}; make or name them"
        )
    double = [number for number in counted if counted[number] > 1]
    if double:
        raise StoreError(f"expected each shard once, found {_listed(double, of[0])} twice; leave one out")
    total = sum(len(store.ids) for store in shards)
    for store in shards:
        if store.shard is not None and len(store.ids) != (size := store.shard.size(total)):
            raise StoreError(
                f"expected {size} of {total} images in shard {store.shard}, found {len(store.ids)} in "
                f"{store.path}; run all shards again with the same --images"
            )


def _listed(numbers: Sequence[int], of: int, most: int = 5) -> str:
    """The first of some shards, and how many more there are.

    >>> _listed([2, 3], 4), _listed(list(range(1, 9)), 9, most=2)
    ('2/4, 3/4', '1/9, 2/9 and 6 more')
    """
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(f"{number}/{of}" for number in numbers[:most]) + more


def _require_sealed(store: SequenceStore) -> None:
    """Raises StoreError for a shard that is not finished, or is not what it was then."""
    if len(store.pending()):
        raise StoreError(
            f"expected a finished shard {store.shard}, found {int(store.done.sum())} of {len(store.ids)} "
            f"sequences in {store.path}; {AGAIN}"
        )
    with opened(store.path, "r") as file:
        sealed = bytes(file.attrs.get("digest", b"")).decode(errors="replace")
    if sealed != _digest(store):
        raise StoreError(
            f"expected in {store.path} what was written of shard {store.shard}, found it unfinished or "
            f"damaged; move it away and {AGAIN}"
        )


def _digest(store: SequenceStore) -> str:
    """Hash of all arrays of a store."""
    hasher = hashlib.sha256()
    with opened(store.path, "r") as file:
        for name in sorted(file):
            hasher.update(f"{name} {file[name].shape} {file[name].dtype}".encode())
            hasher.update(np.ascontiguousarray(file[name][()]).tobytes())
    return hasher.hexdigest()


def _require_disjoint(shards: Sequence[SequenceStore]) -> None:
    """Raises StoreError for an image in two stores."""
    ids = torch.cat([store.ids for store in shards])
    if len(torch.unique(ids)) == len(ids):
        return
    owner: dict[int, Path] = {}
    for store in shards:
        for image in store.ids.tolist():
            if (other := owner.setdefault(image, store.path)) is not store.path:
                raise StoreError(
                    f"expected shards without an image in common, found image {image} in {other} and in "
                    f"{store.path}; {AGAIN}"
                )


def _copy(shard: SequenceStore, merged: SequenceStore) -> None:
    """Brings the sequences of a shard, and its seconds, into the store of all, where they are not yet."""
    rows = torch.searchsorted(merged.ids, shard.ids)
    pending: Tensor = (~merged.done[rows]).nonzero().view(-1)
    for start in range(0, len(pending), BLOCK):
        part = pending[start : start + BLOCK]
        merged.write(rows[part], shard.load(part))
    share = len(pending) / len(rows)
    merged.add_seconds(share * shard.seconds, round(share * shard.sequences_timed))
