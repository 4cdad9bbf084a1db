"""Small files, written whole or not at all: text, JSON, tables of comma-separated values."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import SettingsError

LARGEST_TOML = 1 << 16  # bytes; the time to read keys within keys grows as the square of them


def parse_json(text: str | bytes) -> Any:
    """A value of JSON; raises ValueError for what is none, also where it is nested too deep.

    >>> parse_json('{"width": 3}')
    {'width': 3}
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a file, which editors may have begun with a byte order mark.

    Raises:
        SettingsError: no TOML, or more of it than settings can be.
        OSError: it cannot be read.
    """
    try:
        content = path.read_bytes()
        if len(content) > LARGEST_TOML:
            raise ValueError(f"{len(content):,} bytes")
        return tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise SettingsError(f"expected TOML in {path}, found it nested too deep; mend it") from None
    except ValueError as error:
        raise SettingsError(f"expected TOML in {path}, found otherwise ({error}); mend it") from None


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` make the file beside its name, then renames it: an interrupted write leaves the old one.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "new" / "notes.txt"
    >>> write_atomically(path, lambda beside: beside.write_text("whole"))
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('whole', 1)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    beside.touch()
    try:
        mode = beside.stat().st_mode  # as the umask has it; some writers make files for their owner alone
        write(beside)
        beside.chmod(mode)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)  # half a file would take the room that may be lacking
        raise


def write_text(path: Path, text: str) -> None:
    """Writes text, whole or not at all."""
    write_atomically(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes JSON that people can read, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> None:
    """Writes one line of comma-separated values for each row, whole or not at all, see `rows_text`."""
    write_text(path, rows_text(rows, names))


def rows_text(rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> str:
    """One line of comma-separated values for each row, after one with the names of the columns.

    Args:
        names: of the columns that are wanted; default all that any row has. What a row lacks stays empty.

    >>> print(rows_text([{"a": 1, "b": 2}, {"a": 3}]), end="")
    a,b
    1,2
    3,
    """
    columns = list(names) or list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()
