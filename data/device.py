"""Which device computes."""

from __future__ import annotations

import torch

from data.errors import SettingsError


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is the GPU where there is one.

    Raises:
        SettingsError: unknown name, or "cuda" without a GPU.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"expected device auto, cpu or cuda; found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("expected a CUDA device, found none; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
