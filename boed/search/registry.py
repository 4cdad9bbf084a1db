"""Names of sources of glimpse sequences; nothing is imported for a name alone."""

from __future__ import annotations

from typing import Any

from data.plugins import Registry

_NAMES = ("design", "fixed-order", "random", "centre", "linear", "saliency-1", "saliency-5", "saliency-50")

SOURCES: Registry[Any] = Registry("source", dict.fromkeys(_NAMES, "boed.search.sources"))
"""Where sequences come from: (designer, split, rows, glimpses, seed) -> sequences of these images."""
WITH_MAPS = ("design", "fixed-order")  # sources that score every place
