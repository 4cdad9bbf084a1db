"""Tensors and facts about them in one safetensors file, written beside its name and then renamed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from data.errors import CheckpointError
from data.files import write_atomically
from data.system_errors import advice


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes tensors with a JSON header; an interrupted write leaves the old file.

    Raises:
        OSError: it cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"about": json.dumps(about)}

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
        return tensors, _about(file)


def load_about(path: Path, command: str) -> dict[str, Any]:
    """The facts alone that `save_tensors` wrote, see `load_tensors`."""
    with _opened(path, command) as file:
        return _about(file)


def _about(file: Any) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((file.metadata() or {})["about"])
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
