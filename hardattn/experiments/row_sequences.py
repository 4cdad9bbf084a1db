"""The sequences that tables and frontiers imitate: parts are written, designs made by `boed generate`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.dataset import DataSet
from data.errors import CheckpointError, GlimpseError, SettingsError
from data.files import write_json
from data.geometry import Geometry
from hardattn.training import checkpoint
from supervision.parts import write_parts
from supervision.store import SequenceStore

PARTS = "parts-"
RECORDED = "recorded"


def parts(
    path: Path, kind: str, dataset: DataSet, geometry: Geometry, glimpses: int, opened: dict[str, Any]
) -> SequenceStore:
    """Parts of the objects of a split; the kind is "parts-SPLIT"."""
    split = kind.removeprefix(PARTS)
    return write_parts(path, dataset, split, glimpses=glimpses, geometry=geometry, origin=opened)


def designed(
    path: Path,
    source: str,
    run: Path,
    geometry: Geometry,
    glimpses: int,
    opened: Mapping[str, Any],
    device: str = "auto",
) -> SequenceStore:
    """Sequences of a source of `boed generate` for design images, with what was fitted in `run`.

    What has not been fitted is fitted there. Both always have seed 0: networks of all seeds imitate the same
    sequences. Placements are those of training digits alone: design images are the same for any number of
    them, and what is fitted is fitted on one.

    Args:
        path: of the store; what is there already is not made again.
        opened: what `data.registry.load` was called with.

    Raises:
        SettingsError: a region, in which `boed generate` cannot put its digits.
        GlimpseError: the command fails.
    """
    if path.exists() and bool(SequenceStore.read(path).done.all()):
        return SequenceStore.read(path)
    if opened.get("region") is not None:
        raise SettingsError(
            "expected no region with designed sequences, which `boed generate` makes without it, found "
            f"{opened['region']}; imitate parts of the objects"
        )
    options = {
        "source": source,
        "run": run,
        "out": path,
        "glimpses": glimpses,
        "scales": geometry.scales,
        "glimpse-size": geometry.glimpse_size,
        "dataset": opened["name"],
        "device": device,
        **{key.replace("_", "-"): opened.get(key) for key in ("data_root", "canvas", "attribute")},
    }
    given = {f"--{name}": str(value) for name, value in options.items() if value is not None}
    words = [word for pair in given.items() for word in pair]
    words += ["--first-glance"] if geometry.first_glance else []
    call = [sys.executable, "-m", "boed", "generate", *words]
    start = time.perf_counter()
    try:
        if subprocess.run(call, stdout=sys.stderr, check=False).returncode:
            raise GlimpseError(
                f"expected designs from `{' '.join(call[1:])}`, found that it failed; see above"
            )
    finally:
        _add_seconds(path, time.perf_counter() - start)
    return SequenceStore.read(path)


def made_in(path: Path) -> float:
    """Seconds in which `designed` made a store, fit included where it was not there; 0 for others."""
    try:
        return float(checkpoint.read_json(_beside(path))["seconds"])
    except (CheckpointError, KeyError, TypeError, ValueError):  # a time that cannot be read is no time
        return 0.0


def _add_seconds(path: Path, seconds: float) -> None:
    _beside(path).parent.mkdir(parents=True, exist_ok=True)
    write_json(_beside(path), {"seconds": made_in(path) + seconds})


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.made.json")
