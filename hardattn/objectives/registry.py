"""Names of training methods, terms of the loss and rewards; nothing is imported for a name alone."""

from __future__ import annotations

from typing import Any

from data.plugins import Registry

_NAMES = (
    *("ps-nogs", "nogs-all", "nogs-finetuned", "saliency", "ps-ram", "ps-parts", "ps-fixed", "ps-heuristic"),
    *("ram", "act", "ps-act", "wsram", "epe-head", "multiglimpse", "glimpsenet", "random", "centre"),
)

METHODS: Registry[Any] = Registry("method", dict.fromkeys(_NAMES, "hardattn.objectives.methods"))
"""Ways of training: `hardattn.objectives.methods.Method`."""
TERMS: Registry[Any] = Registry(
    "loss term",
    dict.fromkeys(
        (
            *("classification", "auxiliary", "imitation", "saliency", "reinforce", "baseline"),
            *("wake-sleep", "wake-inference", "sleep-inference"),
            *("gain", "accuracy-gain", "act", "stochastic", "ponder"),
        ),
        "hardattn.objectives.terms",
    ),
)
"""What is minimised: `hardattn.objectives.terms.Term`."""
REWARDS: Registry[Any] = Registry(
    "reward",
    dict.fromkeys(
        ("final", "correct", "log-likelihood", "information", "entropy", "box"),
        "hardattn.objectives.rewards",
    ),
)
"""What a glimpse earns: (rollout, labels, boxes) -> (B, T), see `hardattn.objectives.rewards`."""
