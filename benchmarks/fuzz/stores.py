"""Stores for `benchmarks.fuzz`: HDF5 files whose data sets are others, lead elsewhere or claim to be huge."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

from benchmarks.fuzz.bytes import Input, Strategy, damaged, made_up
from benchmarks.fuzz.text import DEEP, replaced

BOMB = 1 << 33  # bytes that a small file claims to hold


def hdf5_inputs(whole: bytes, victim: str) -> Strategy:
    """A store with a data set or an attribute replaced; links out of the file; bombs; and raw bytes.

    Args:
        victim: another HDF5 file, that nobody may write into.
    """
    with h5py.File(io.BytesIO(whole), "r") as file:
        names, attributes = list(file), list(file.attrs)
        objects = {name: json.loads(file.attrs[name]) for name in ("settings", "origin")}

    def edited(edit: Callable[[h5py.File], None]) -> Input:
        buffer = io.BytesIO(whole)
        with h5py.File(buffer, "r+") as file:
            edit(file)
        return Input(buffer.getvalue(), "field", sealed=True)

    def array(name: str, how: str) -> Callable[[h5py.File], None]:
        def edit(file: h5py.File) -> None:
            _replace(file, name, how, victim)

        return edit

    def attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
        def edit(file: h5py.File) -> None:
            del file.attrs[name]
            if value is not None:
                file.attrs[name] = value

        return edit

    values = st.sampled_from(
        [None, 0, 1, -1, 3.5, float("nan"), "", "{}", "[]", "null", "[" * DEEP, b"\xff", [1]]
    )
    told = {name: replaced(value).map(json.dumps) for name, value in objects.items()}
    return (
        st.builds(array, st.sampled_from(names), st.sampled_from(ARRAYS)).map(edited)
        | st.builds(attribute, st.sampled_from(attributes), values).map(edited)
        | st.builds(attribute, st.just("settings"), told["settings"]).map(edited)
        | st.builds(attribute, st.just("origin"), told["origin"]).map(edited)
        | damaged(whole)
        | made_up((b"\x89HDF\r\n\x1a\n",))
    )


ARRAYS = (
    *(
        "gone",
        "float",
        "text",
        "shorter",
        "longer",
        "flat",
        "group",
        "nan",
        "negative",
        "far",
        "bomb",
        "empty",
    ),
    *("external link", "soft link", "external data", "virtual", "compound", "scalar", "int64", "unsorted"),
)


def _replace(file: h5py.File, name: str, how: str, victim: str) -> None:
    """Another data set in place of this one."""
    old = file[name][()]
    del file[name]
    if how == "external link":
        file[name] = h5py.ExternalLink(victim, name)
    elif how == "soft link":
        file[name] = h5py.SoftLink(f"/{name}")
    elif how == "external data":
        shape, kind = old.shape, old.dtype
        file.create_dataset(name, shape, kind, external=[(victim, 0, h5py.h5f.UNLIMITED)])
    elif how == "virtual":
        layout = h5py.VirtualLayout(old.shape, old.dtype)
        if old.size:
            layout[...] = h5py.VirtualSource(victim, name, old.shape)
        file.create_virtual_dataset(name, layout)
    elif how == "bomb":
        shape = (BOMB // max(1, old.itemsize), *old.shape[1:])
        file.create_dataset(name, shape, old.dtype, chunks=True)
    elif how == "group":
        file.create_group(name)
    elif how != "gone":
        file[name] = _other(old, how)


def _other(old: np.ndarray, how: str) -> Any:
    plain = np.asarray(old)
    with np.errstate(all="ignore"):
        others: dict[str, Callable[[], Any]] = {
            "float": lambda: plain.astype(float) + 0.5,
            "text": lambda: np.full(plain.shape, b"x", "S3"),
            "shorter": lambda: plain[:-1],
            "longer": lambda: np.concatenate([plain, plain]),
            "flat": lambda: plain.reshape(-1),
            "nan": lambda: np.full(plain.shape, np.nan, np.float32),
            "negative": lambda: -1 - plain.astype(np.int64),
            "far": lambda: plain.astype(np.int64) + 30_000,
            "empty": lambda: plain[:0],
            "compound": lambda: np.zeros(plain.shape, [("a", "i4"), ("b", "f4")]),
            "scalar": lambda: np.float32(1),
            "int64": lambda: plain.astype(np.int64) + 2**40,
            "unsorted": lambda: plain[::-1].copy(),
        }
        return others[how]()
