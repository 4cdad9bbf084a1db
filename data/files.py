"""Tables of comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> None:
    """Writes one line for each row, beside the file's name, and then renames it.

    Args:
        names: of the columns that are wanted; default all that any row has. What a row lacks stays empty.
    """
    columns = list(names) or list(dict.fromkeys(name for row in rows for name in row))
    beside = path.with_name(path.name + ".new")
    with beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(path)
