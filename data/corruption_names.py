"""Names of corruptions, for those who only name them: nothing slow is imported."""

from __future__ import annotations

from typing import Any

from data.plugins import Registry

SEVERITIES = 5
"""Of each corruption, from 1 on; 0 is the image itself."""
CORRUPTIONS: Registry[Any] = Registry(
    "corruption",
    dict.fromkeys(("translation", "rotation", "scale", "noise", "blur", "contrast"), "data.corruptions"),
)
"""(images (N, C, H, W) in [0, 1], severity, a generator for each) -> images, see `data.corruptions`."""
