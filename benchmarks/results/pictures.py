"""Pictures of the documentation that are drawn from files of results, each with a digest of these."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.frontiers.picture import draw as draw_frontier

PICTURES: dict[str, Callable[[Mapping[str, Any], Path], None]] = {
    f"frontier-{name}": draw_frontier
    for name in ("male-short", "clutter-short", "clutter", "faces", "scenes")
}
"""Name of an experiment -> what draws its results into a PNG of that name."""
SHOWS = "shows"


def digest(found: Mapping[str, Any]) -> str:
    """Of the figures, wherever they come from.

    >>> digest({"about": 1, "rows": []}) == digest({"about": 2, "rows": []})
    True
    """
    figures = {name: value for name, value in found.items() if name != "about"}
    return hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()


def drawn(found: Mapping[str, Any], draw: Callable[[Mapping[str, Any], Path], None], path: Path) -> None:
    """Draws results, and writes into the picture what it shows."""
    draw(found, path)
    about = PngInfo()
    about.add_text(SHOWS, digest(found))
    with Image.open(path) as picture:
        picture.load()
        picture.save(path, pnginfo=about, optimize=True)


def is_shown(found: Mapping[str, Any], path: Path) -> bool:
    """Whether a picture is there and shows these results."""
    if not path.exists():
        return False
    with Image.open(path) as picture:
        return picture.info.get(SHOWS) == digest(found)
