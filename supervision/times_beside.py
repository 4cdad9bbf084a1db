"""How long sequences took, of stores whose times older versions kept in small files beside them."""

from __future__ import annotations

from pathlib import Path

from data.files import parse_json


def times_beside(store: Path) -> dict[str, float]:
    """Those of `supervision.store.TIMES` that files beside a store have; 0 for what cannot be read.

    Version 0.1 wrote PATH.seconds.json, with the seconds that so many sequences took, and PATH.made.json,
    with the seconds in which the store was made.
    """
    took, made = (_read(store.with_name(f"{store.name}.{kind}.json")) for kind in ("seconds", "made"))
    if not {"seconds", "sequences"} <= set(took):
        took = {}  # a sum without its count is no time
    return {
        "seconds": took.get("seconds", 0.0),
        "sequences_timed": took.get("sequences", 0.0),
        "made_in": made.get("seconds", 0.0),
    }


def _read(path: Path) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in parse_json(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
