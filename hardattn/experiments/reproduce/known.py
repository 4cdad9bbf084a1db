"""The best published figure on the images of a row, whoever has it: `known.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

IMAGES = ("dataset", "attribute", "canvas", "region", "size")
"""Settings of a row that say of which images its figures are."""


@dataclass(frozen=True)
class BestKnown:
    """A published figure.

    Attributes:
        name: whose it is, in words.
        error_percent: of test images, None where nothing is known.
    """

    name: str = ""
    error_percent: float | None = None


def best_known(given: Mapping[str, Any]) -> BestKnown:
    """The least error that is known on the images that settings name, of whatever network.

    >>> best_known({"dataset": "translated-mnist", "canvas": 60, "scales": 3}).error_percent
    0.94
    >>> best_known({"dataset": "translated-mnist", "canvas": 60, "region": "inner"}).error_percent is None
    True
    """
    wanted = [given.get(key) for key in IMAGES]
    here = [figure for figure in _figures() if [figure.get(key) for key in IMAGES] == wanted]
    best = min(here, key=lambda figure: float(figure["error_percent"]), default={})
    return BestKnown(**{name: value for name, value in best.items() if name not in IMAGES})


@cache
def _figures() -> list[dict[str, Any]]:
    path = files("hardattn.experiments.reproduce") / "known.toml"
    figures: list[dict[str, Any]] = tomllib.loads(path.read_text())["figures"]
    return figures
