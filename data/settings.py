"""Settings as dataclasses, written as JSON and read again; what another version wrote is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from data.errors import CheckpointError
from data.version import SOFTWARE

T = TypeVar("T")


def from_json(kind: type[T], values: Mapping[str, Any], *, path: Path, software: str = "") -> T:
    """The dataclass `kind` of a JSON object, nested dataclasses and tuples included.

    Args:
        kind: a dataclass.
        values: what the file has.
        path: of the file, for the message.
        software: that wrote it, for the message; "" where the file does not say.

    Raises:
        CheckpointError: the file has fields that this version does not know, or lacks some that it needs.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Sizes:
    ...     width: int
    ...     kept: tuple[int, ...] = ()
    >>> from_json(Sizes, {"width": 3, "kept": [1, 2]}, path=Path("run.json"))
    Sizes(width=3, kept=(1, 2))
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    needed = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    for word, names in (("unknown", set(values) - set(known)), ("missing", needed - set(values))):
        if names:
            raise CheckpointError(
                f"expected settings of {SOFTWARE} in {path}, found {word} {', '.join(sorted(names))}, "
                f"written by {software or 'an older version'}; open it with that version, or make it again"
            )
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], value, path, software) for name, value in values.items()})


def _value(hint: Any, value: Any, path: Path, software: str) -> Any:
    """A value of JSON as its field wants it."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for option in options:
        if is_dataclass(option) and isinstance(option, type) and isinstance(value, Mapping):
            return from_json(option, value, path=path, software=software)
        if get_origin(option) is tuple and isinstance(value, list):
            return tuple(tuple(part) if isinstance(part, list) else part for part in value)
    return value
