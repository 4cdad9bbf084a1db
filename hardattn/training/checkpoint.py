"""The files of a run folder, and whether they belong together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import CheckpointError
from data.files import parse_json

if TYPE_CHECKING:
    from torch import Tensor, nn  # slow to import, and no file needs it

RUN, MODEL, LAST, LOG = "run.json", "model.safetensors", "last.safetensors", "log.jsonl"
COMMAND = "hardattn train"


def read_json(
    path: Path, what: str = "the folder of a training run", command: str = COMMAND
) -> dict[str, Any]:
    """A JSON object.

    Args:
        path: the file.
        what: it belongs to, for the error message.
        command: that makes it, for the same.

    Raises:
        CheckpointError: it is missing, damaged, or something else.
    """
    if not path.is_file():
        raise CheckpointError(f"expected {what}, found no {path}; make it with `{command}`")
    again = f"make it again with `{command}`"
    try:
        value = parse_json(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"expected JSON in {path}, found damage ({error}); {again}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"expected a JSON object in {path}, found {type(value).__name__}; {again}")
    return value


def require_same(path: Path, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
    """Raises CheckpointError, naming both values, at the first setting that differs."""
    for name in {**expected, **actual}:
        sides = _differing(expected.get(name), actual.get(name))
        want, have = (json.dumps(side, sort_keys=True) for side in sides)
        if want != have:
            raise CheckpointError(
                f"expected {path} with {name} = {want}, found {have}; use the same settings or another folder"
            )


def _differing(one: Any, other: Any) -> tuple[Any, Any]:
    """The two values; of two objects of JSON only the entries that differ."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return one, other
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return {name: one.get(name) for name in names}, {name: other.get(name) for name in names}


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of the weights with their names.

    >>> from torch import nn
    >>> one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> weights_digest(one) == weights_digest(one), weights_digest(one) == weights_digest(other)
    (True, False)
    """
    return tensors_digest(network.state_dict())


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """The same of the tensors that a file of weights has."""
    hasher = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        hasher.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return hasher.hexdigest()
