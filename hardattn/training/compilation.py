"""A training step as one compiled program: `torch.compile`, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Forward = Callable[..., dict[str, Tensor]]
"""What a learner computes the weighted terms of its loss by."""
OPTIONS: dict[str, Any] = {
    "fallback_random": True,  # the draws of a step that is not compiled
    "reorder_for_peak_memory": False,  # in their order
}


def compiled(forward: Forward) -> Forward:
    """The same, compiled as a whole when it is first called; also its gradient is."""
    return torch.compile(forward, fullgraph=True, dynamic=False, options=OPTIONS)
