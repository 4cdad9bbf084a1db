"""Tensors and facts about them in one safetensors file, written beside its name and then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from data.errors import CheckpointError
from data.files import parse_json, write_atomically
from data.system_errors import advice


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes tensors with a JSON header and a digest of both; an interrupted write leaves the old file.

    Raises:
        OSError: it cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    noted = json.dumps(about)
    metadata = sealed(noted, digest_of(plain, noted))

    def save(beside: Path) -> None:
        try:
            save_file(plain, beside, metadata=metadata)
        except SafetensorError as error:
            raise _system_error(error, path) from None

    write_atomically(path, save)


def _system_error(error: SafetensorError, path: Path) -> Exception:
    """What the operating system said, which safetensors has in its message; else the error itself.

    >>> _system_error(SafetensorError("I/O error: No space left on device (os error 28)"), Path("a")).errno
    28
    """
    number = re.search(r"os error ([0-9]+)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path)) if number else error


def sealed(noted: str, digest: str) -> dict[str, str]:
    """The header: what is noted, and below it the digest.

    Under one name, as several are written in any order, and the same weights are to have the same bytes.

    >>> sealed("{}", "ab")
    {'about': '{}\\nab'}
    """
    return {"about": f"{noted}\n{digest}"}


def digest_of(tensors: Mapping[str, Tensor], noted: str) -> str:
    """SHA-256 of tensors on the CPU, with their names, types and shapes, and of what is noted with them.

    >>> import torch
    >>> digest_of({"a": torch.zeros(2)}, "") == digest_of({"a": torch.zeros(2, 1)}, "")
    False
    """
    hasher = hashlib.sha256(noted.encode())
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def load_tensors(path: Path, command: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote.

    Args:
        path: the file.
        command: that makes the file, for the error message.

    Raises:
        CheckpointError: the file is missing, damaged or cannot be read.
    """
    with _opened(path, command) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        noted, _, kept = _header(file).partition("\n")
        if kept and kept != digest_of(tensors, noted):  # older files have none
            raise ValueError("their checksum is another")
        return tensors, _about(file)


def load_about(path: Path, command: str) -> dict[str, Any]:
    """The facts alone that `save_tensors` wrote, see `load_tensors`."""
    with _opened(path, command) as file:
        return _about(file)


def _header(file: Any) -> str:
    header: str = (file.metadata() or {})["about"]
    return header


def _about(file: Any) -> dict[str, Any]:
    about = parse_json(_header(file).partition("\n")[0])
    if not isinstance(about, dict):
        raise ValueError(f"{type(about).__name__} instead of an object")
    return about


@contextmanager
def _opened(path: Path, command: str) -> Iterator[Any]:
    """The file, to be read within."""
    if not path.is_file():
        raise CheckpointError(f"expected saved weights at {path}, found none; make them with `{command}`")
    try:
        path.open("rb").close()  # what keeps one from reading it says nothing of its content
    except OSError as error:
        todo = advice(error) or "the file may be whole, try again"
        raise CheckpointError(f"expected weights that can be read, found {path} ({error}); {todo}") from None
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"expected whole safetensors in {path}, found damaged ones ({error}); "
            f"move it away and run `{command}` again"
        ) from None


@contextmanager
def sizes_of(path: Path) -> Iterator[None]:
    """While a network is made of the sizes that a file says: CheckpointError where torch cannot make it."""
    try:
        yield
    except (TypeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(
            f"expected sizes of a network in {path}, found others ({' '.join(str(error).split())[:200]}); "
            "bring back a copy"
        ) from None
