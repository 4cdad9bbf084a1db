"""What the data sets of a store have to be: of which type and shape, and in the file itself."""

from __future__ import annotations

from collections.abc import Mapping

import h5py
import numpy as np

PACKED = 1100  # bytes that one byte of a file can stand for, where it is compressed by HDF5's own filter
INTEGERS, FLOATS, FLAGS = "iu", "f", "b"
KINDS = {
    "image_id": INTEGERS,
    "places": INTEGERS,
    "locations": INTEGERS,
    "candidates": INTEGERS,
    "epe": FLOATS,
    "entropy": FLOATS,
    "epe_map": FLOATS,
    "done": FLAGS,
}
WORDS = {INTEGERS: "integers", FLOATS: "numbers", FLAGS: "true or false"}


def require_layout(file: h5py.File) -> None:
    """Checks the headers of all data sets of a store, before any of them is read.

    Raises:
        KeyError: one is missing.
        ValueError: one is elsewhere, of another type or shape, or of more bytes than the file can hold; or
            image ids do not increase.
    """
    places = "places" if "places" in file else "locations"
    names = ("image_id", places, "candidates", "epe", "entropy", "epe_map", "done")
    shapes: dict[str, tuple[int, ...]] = {name: _own(file, name).shape for name in names}
    count, steps, corner = shapes[places]
    options = shapes["candidates"][0]
    expected: Mapping[str, tuple[int, ...]] = {
        "image_id": (count,),
        "candidates": (options, corner),
        "epe": (count, steps),
        "entropy": (count, steps + 1),
        "epe_map": (count, steps, options),
        "done": (count,),
    }
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise ValueError(f"{name} is {shapes[name]} instead of {shape}")
    if corner not in (2, 3) or steps < 1:
        raise ValueError(f"{places} is {shapes[places]} instead of (N, T, 3)")
    ids = file["image_id"][()].astype(np.int64)
    if (ids[1:] <= ids[:-1]).any() or (ids[:1] < 0).any():
        raise ValueError("image_id does not increase from 0 on")


def _own(file: h5py.File, name: str) -> h5py.Dataset:
    """A data set whose numbers are in this file and no other."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise KeyError(f"no data set {name} in this file")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise ValueError(f"{name} is no data set of numbers in this file")
    if found.dtype.kind not in KINDS[name]:
        raise ValueError(f"{name} is {found.dtype} instead of {WORDS[KINDS[name]]}")
    dimensions = {"image_id": 1, "done": 1, "epe": 2, "entropy": 2, "candidates": 2}.get(name, 3)
    if found.ndim != dimensions:
        raise ValueError(f"{name} is {found.shape} instead of {dimensions} axes")
    if found.nbytes > PACKED * found.id.get_storage_size():
        raise ValueError(f"{name} is {found.shape}, which the file does not hold")
    return found
