"""Names of networks on the whole image; nothing is imported for a name alone."""

from __future__ import annotations

from typing import Any

from data.plugins import Registry

_LOW_POWER = "hardattn.baselines.low_power"

BASELINES: Registry[Any] = Registry(
    "baseline",
    {
        **dict.fromkeys(("fc", "conv", "conv-dropout", "resnet", "cnn"), "hardattn.baselines.networks"),
        **dict.fromkeys(("separable", "mobilenet_v2", "shufflenet_v2"), _LOW_POWER),
        "micronet": "hardattn.baselines.micronet",
        "mcunet": "hardattn.baselines.mcunet",
        "local": "hardattn.baselines.local",
        "early-exit": "hardattn.baselines.early_exit",
    },
)
"""Rivals that see all pixels: ((C, H, W), classes, **options) -> `hardattn.baselines.layers.Baseline`."""
