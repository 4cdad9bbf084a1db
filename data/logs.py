"""Logs of trainings: files of a JSON object a line, each one check of how it goes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data.errors import CheckpointError
from data.files import parse_json

STEP = "iteration"  # of a line: how far the training was
FIGURES = ("seconds", "nll", "accuracy")  # that all checks of a network have


def log_text(lines: Iterable[Mapping[str, Any]]) -> str:
    """Lines of a log."""
    return "".join(json.dumps(line) + "\n" for line in lines)


def append(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Adds lines to a log, whose folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as log:
        log.write(log_text(lines))


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log, none where there is no file; a half-written last line is left out.

    Raises:
        CheckpointError: a line before the last is damaged, or lacks a figure that others have.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    parsed = [_parsed(line) for line in lines]
    if parsed and parsed[-1] is None:
        del parsed[-1]
    needed = {STEP, *(name for values in parsed if values for name in FIGURES if name in values)}
    for number, values in enumerate(parsed, 1):
        if values is None or not all(_is_figure(values.get(name)) for name in needed):
            raise CheckpointError(
                f"expected a check of the training in line {number} of {path}, found damage; bring back a "
                "copy, or train again"
            )
        yield values


def _parsed(line: bytes) -> dict[str, Any] | None:
    """What a line has, None where it is no object."""
    try:
        values = parse_json(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def metrics_of(line: Mapping[str, Any]) -> dict[str, float]:
    """What of a line is one number, but for the iteration.

    >>> metrics_of({"iteration": 100, "nll": 0.5, "nll_at": [0.7, 0.5]})
    {'nll': 0.5}
    """
    return {name: v for name, v in line.items() if isinstance(v, (int, float)) and name != STEP}
