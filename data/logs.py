"""Logs of trainings: files of a JSON object a line, each one check of how it goes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

STEP = "iteration"  # of a line: how far the training was


def log_text(lines: Iterable[Mapping[str, Any]]) -> str:
    """Lines of a log."""
    return "".join(json.dumps(line) + "\n" for line in lines)


def append(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Adds lines to a log, whose folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as log:
        log.write(log_text(lines))


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log, none where there is no file; a half-written last line is left out."""
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except ValueError:
            return


def metrics_of(line: Mapping[str, Any]) -> dict[str, float]:
    """What of a line is one number, but for the iteration.

    >>> metrics_of({"iteration": 100, "nll": 0.5, "nll_at": [0.7, 0.5]})
    {'nll': 0.5}
    """
    return {name: v for name, v in line.items() if isinstance(v, (int, float)) and name != STEP}
