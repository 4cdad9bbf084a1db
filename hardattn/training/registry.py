"""Names of what trains a hard-attention network; nothing is imported for a name alone."""

from __future__ import annotations

from typing import Any

from data.plugins import Registry

LEARNERS: Registry[Any] = Registry(
    "learner",
    {
        "rollout": "hardattn.training.learner",
        "epe": "hardattn.training.epe_learner",
        "wake-sleep": "hardattn.training.wake_sleep_learner",
    },
)
"""One iteration of training: subclasses of `hardattn.training.learner.Learner`; a method names its own. One
whose step does not go by `forward` says `compiles = False`."""
