"""What a folder holds: whether each file can be opened, what in it is the same, what may never change."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from data.errors import GlimpseError
from data.tensors import load_tensors
from hardattn.training import checkpoint
from supervision.store import TIMES, SequenceStore

HIDDEN = (".lock", ".owner")  # of who works there
PARTIAL = ".new"  # at the end of the name of what is not finished


def contents(folder: Path) -> dict[str, str]:
    """Name of every file -> SHA-256 of its bytes; of stores without the seconds that they took."""
    return {name: hashlib.sha256(plain_bytes(path)).hexdigest() for name, path in _files(folder)}


def plain_bytes(path: Path) -> bytes:
    """The bytes of a file, of a store with 0 in the three numbers that say how long it took."""
    content = path.read_bytes()
    if path.suffix != ".h5" or not h5py.is_hdf5(path):
        return content
    image = io.BytesIO(content)
    with h5py.File(image, "r+") as file:
        for name in TIMES:
            file.attrs.modify(name, np.float64(0))
    return image.getvalue()


def damaged(folder: Path) -> list[str]:
    """What in a folder has a name of its own and cannot be opened, with the reason."""
    found = []
    for name, path in _files(folder):
        opener = OPENERS.get(path.suffix)
        if opener is None or name.endswith(PARTIAL):
            continue
        try:
            opener(path)
        except (GlimpseError, OSError, ValueError) as error:
            found.append(f"{name} cannot be opened: {error}")
    return found


def changed(before: Mapping[str, str], now: Mapping[str, str], whole: Mapping[str, str]) -> list[str]:
    """What was finished before, as it is in the whole result, and is not that any more.

    The last line of a training's log is written again where the state that belongs to it was not.

    >>> changed({"a": "1", "b": "0"}, {"a": "0", "b": "0"}, {"a": "1", "b": "1"})
    ['a was finished and has changed']
    """
    finished = [
        name
        for name in before
        if all(before.get(each) == whole.get(each) for each in (name, _written_after(name)))
    ]
    return [f"{name} was finished and has changed" for name in finished if now.get(name) != whole[name]]


def _written_after(name: str) -> str:
    """The file that says that one is finished: itself, or of a log the state of the training."""
    path = Path(name)
    return str(path.with_name(checkpoint.LAST)) if path.name == checkpoint.LOG else name


def differing(found: Mapping[str, str], whole: Mapping[str, str]) -> list[str]:
    """How one folder differs from another.

    >>> differing({"a": "1", "c": "1"}, {"a": "2", "b": "1"})
    ['a has other bytes', 'b is missing', 'c is left over']
    """
    return [
        f"{name} {'has other bytes' if name in found and name in whole else how}"
        for name in sorted({**found, **whole})
        for how in ["is left over" if name in found else "is missing"]
        if found.get(name) != whole.get(name)
    ]


def rows_done(folder: Path) -> dict[tuple[str, int], bytes]:
    """(store, image) -> bytes of the finished sequence, of all stores."""
    found = {}
    for name, path in _files(folder):
        if path.suffix == ".h5":
            store = SequenceStore.read(path)
            kept = store.load()
            for n, image in enumerate(store.ids[store.done].tolist()):
                arrays = (kept.locations[n], kept.epe[n], kept.entropy[n], kept.epe_map[n])
                found[name, image] = b"".join(array.numpy().tobytes() for array in arrays)
    return found


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(HIDDEN):
            yield str(path.relative_to(folder)), path


def _open_lines(path: Path) -> None:
    *whole, last = path.read_text().split("\n")  # after the last line end there is nothing, or half a line
    for line in whole if path.name == checkpoint.LOG else [*whole, *filter(None, [last])]:
        json.loads(line)


def _open_picture(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


OPENERS: Mapping[str, Callable[[Path], object]] = {
    ".h5": SequenceStore.read,
    ".safetensors": lambda path: load_tensors(path, "the same command"),
    ".json": lambda path: json.loads(path.read_text()),
    ".jsonl": _open_lines,
    ".png": _open_picture,
}
