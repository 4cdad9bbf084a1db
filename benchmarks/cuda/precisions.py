"""Arithmetic that a network is measured in: of how many digits a GPU takes its products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch

PRECISIONS = ("float32", "tf32", "bfloat16")
LEARNERS = ("learner", "epe_learner", "wake_sleep_learner")
"""Modules whose steps are in mixed precision."""


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Training and inference in float32, float32 by products of 10 bits (TF32), or bfloat16.

    >>> with precision("bfloat16", torch.device("cpu")):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.bfloat16
    """
    before, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    def chosen(device: torch.device, _: str = "auto") -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16")

    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        with ExitStack() as stack:
            for module in LEARNERS:
                stack.enter_context(patch(f"hardattn.training.{module}.mixed_precision", chosen))
            stack.enter_context(chosen(device))
            yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = convolutions
