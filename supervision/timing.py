"""How long sequences took, in a small file beside their store, whose own bytes do not depend on it."""

from __future__ import annotations

import json
from pathlib import Path

from data.files import write_json


def add_seconds(store: Path, seconds: float, sequences: int) -> None:
    """Adds the wall-clock seconds that so many sequences of a store took; of none, nothing is written."""
    if sequences == 0:
        return
    kept = _read(store)
    total = {"seconds": kept["seconds"] + seconds, "sequences": kept["sequences"] + sequences}
    write_json(_beside(store), total)


def seconds_per_sequence(store: Path) -> float | None:
    """Mean of what was added, or None where nothing was."""
    kept = _read(store)
    return kept["seconds"] / kept["sequences"] if kept["sequences"] else None


def _beside(store: Path) -> Path:
    return store.with_name(store.name + ".seconds.json")


def _read(store: Path) -> dict[str, float]:
    try:
        kept = json.loads(_beside(store).read_text())
        return {"seconds": float(kept["seconds"]), "sequences": int(kept["sequences"])}
    except (OSError, ValueError, KeyError, TypeError):  # a time that cannot be read is no time
        return {"seconds": 0.0, "sequences": 0}
