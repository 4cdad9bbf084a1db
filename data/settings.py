"""Settings as dataclasses, written as JSON and read again; what another version wrote is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from data.errors import CheckpointError, one_line
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
        CheckpointError: the file has fields that this version does not know, or lacks some that it needs, or
            a value is of another type than its field.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Sizes:
    ...     width: int
    ...     kept: tuple[int, ...] = ()
    >>> from_json(Sizes, {"width": 3, "kept": [1, 2]}, path=Path("run.json"))
    Sizes(width=3, kept=(1, 2))
    """
    if not isinstance(values, Mapping):
        raise CheckpointError(f"expected settings in {path}, found {one_line(values)}; make it again")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    needed = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    for word, names in (("unknown", set(values) - set(known)), ("missing", needed - set(values))):
        if names:
            raise CheckpointError(
                f"expected settings of {SOFTWARE} in {path}, found {word} {', '.join(sorted(names))}, "
                f"written by {software or 'an older version'}; open it with that version, or make it again"
            )
    hints = get_type_hints(kind)
    for name, wanted in mistyped(kind, values).items():
        raise CheckpointError(
            f"expected {name} in {path} as {wanted}, found {one_line(values[name])}, written by "
            f"{software or 'an older version'}; open it with that version, or make it again"
        )
    return kind(**{name: _value(hints[name], value, path, software) for name, value in values.items()})


def mistyped(kind: type[Any], values: Mapping[str, Any]) -> dict[str, str]:
    """Names of values of another type than their fields, with what the field takes, in words.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Sizes:
    ...     width: int | None
    >>> mistyped(Sizes, {"width": "3"}), mistyped(Sizes, {"width": None})
    ({'width': 'int or null'}, {})
    """
    hints = get_type_hints(kind)
    return {
        name: _shown(hints[name])
        for name, value in values.items()
        if not any(fits(option, value) for option in _options(hints[name]))
    }


def fits(option: Any, value: Any) -> bool:
    """Whether a value of JSON can be one of a type; of a mapping, a literal and the like all but None can.

    >>> fits(float, 1), fits(int, 1.5), fits(int, True), fits(type(None), 0)
    (True, False, False, False)
    >>> fits(tuple[int, ...], [1]), fits(tuple[int, ...], ["1"])
    (True, False)
    """
    if option in (int, float):
        return isinstance(value, int | option) and not isinstance(value, bool)
    if option in (bool, str, NoneType):
        return isinstance(value, option)
    if get_origin(option) is tuple:
        inner, *more = get_args(option)
        each = value if more == [...] and isinstance(value, list | tuple) else ()
        return isinstance(value, list | tuple) and all(any(fits(o, v) for o in _options(inner)) for v in each)
    if is_dataclass(option):
        return isinstance(value, Mapping)
    return value is not None or option is Any or None in get_args(option)


def _options(hint: Any) -> tuple[Any, ...]:
    """The types that an annotation allows."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _shown(hint: Any) -> str:
    """An annotation as a message can show it, by what JSON calls the types."""
    words = {"NoneType": "null", "tuple": "list", "str": "text"}
    names = [getattr(get_origin(option) or option, "__name__", str(option)) for option in _options(hint)]
    return " or ".join(words.get(name, name) for name in names)


def _value(hint: Any, value: Any, path: Path, software: str) -> Any:
    """A value of JSON as its field wants it."""
    for option in _options(hint):
        if is_dataclass(option) and isinstance(option, type) and isinstance(value, Mapping):
            return from_json(option, value, path=path, software=software)
        if get_origin(option) is tuple and isinstance(value, list):
            return tuple(tuple(part) if isinstance(part, list) else part for part in value)
    return value
