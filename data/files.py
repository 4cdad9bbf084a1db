"""Small files, written whole or not at all: text, JSON, tables of comma-separated values."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


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
