"""What differs where a GPU computes: beside the CPU, which has to wait for whatever it asks for.

A step of training waits once: for what is logged. So constants are sent to a GPU once, batches by way of
pinned memory, and no result decides how the step goes on. Products are of fewer digits there where that is
asked for; what the sensor sees is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

_constants: dict[tuple[tuple[float, ...], torch.device, torch.dtype | None], Tensor] = {}


def is_gpu(device: torch.device | str) -> bool:
    """Whether it computes beside the CPU.

    >>> is_gpu("cpu"), is_gpu("cuda:0")
    (False, True)
    """
    return torch.device(device).type != "cpu"


def mixed_precision(device: torch.device, precision: str = "auto") -> torch.autocast:
    """Products in bfloat16 on a GPU; on the CPU, which gains nothing by it, everything in float32.

    Args:
        precision: "bfloat16" or "float32": on any device.
    """
    enabled = is_gpu(device) if precision == "auto" else precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Products in float32, of all its digits, whatever the network has."""
    return _all_digits(device) if is_gpu(device) else torch.autocast(device.type, enabled=False)


@contextmanager
def _all_digits(device: torch.device) -> Iterator[None]:
    """No mixed precision, and no TF32."""
    digits = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(digits)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`; from the CPU to a GPU by way of pinned memory, so that nobody waits.

    >>> sent(torch.arange(2), torch.device("cpu"))
    tensor([0, 1])
    """
    if is_gpu(device) and not is_gpu(tensor.device) and not torch.compiler.is_compiling():
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def constant(values: Sequence[float], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """(N,) numbers on `device`, sent there once; not to be written to.

    >>> constant((16, 24), torch.device("cpu"))
    tensor([16, 24])
    """
    if not is_gpu(device) or torch.compiler.is_compiling():
        return torch.tensor(values, dtype=dtype, device=device)
    key = (tuple(values), device, dtype)
    if key not in _constants:
        with torch.inference_mode(False):
            _constants[key] = sent(torch.tensor(values, dtype=dtype), device)
    return _constants[key]
