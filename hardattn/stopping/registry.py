"""Names of stopping rules; nothing is imported for a name alone."""

from __future__ import annotations

from typing import Any

from data.plugins import Registry

_NAMES = ("fixed", "gain", "accuracy-gain", "entropy", "confidence", "act", "halting", "stochastic")

RULES: Registry[Any] = Registry("stopping rule", dict.fromkeys(_NAMES, "hardattn.stopping.rules"))
"""When to stop looking: `hardattn.stopping.rules.Rule`."""
