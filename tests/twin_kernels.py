"""What the device `twin` has kernels of its own for: mixed precision, and cells that a GPU fuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

LOWERED = ("linear", "mm", "addmm", "bmm", "baddbmm", "matmul", "conv2d", "gru_cell", "lstm_cell")
"""Operators that autocast computes in bfloat16; of a GPU these and some more."""
AUTOCAST = torch._C.DispatchKey.AutocastPrivateUse1  # type: ignore[attr-defined]


def lowered(operator: Any) -> Callable[..., Any]:
    """An operator as it is under autocast."""

    def cast(value: Any) -> Any:
        lowers = isinstance(value, Tensor) and value.dtype == torch.float32
        return value.to(torch.bfloat16) if lowers else value

    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(AUTOCAST)):
            return operator(*tree_map(cast, args), **tree_map(cast, kwargs))

    return call


def gates(
    inward: Tensor, onward: Tensor, biases: tuple[Tensor | None, ...], count: int
) -> list[tuple[Tensor, ...]]:
    """Gates of the features and of the state, of each `count` parts."""
    both = zip((inward, onward), biases, strict=True)
    return [(part if bias is None else part + bias).chunk(count, 1) for part, bias in both]


def gru(
    inward: Tensor, onward: Tensor, state: Tensor, one: Tensor | None = None, other: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The state after, and a workspace that nobody needs."""
    (reset, keep, new), (its_reset, its_keep, its_new) = gates(inward, onward, (one, other), 3)
    proposed = (new + (reset + its_reset).sigmoid() * its_new).tanh()
    return proposed + (keep + its_keep).sigmoid() * (state - proposed), inward


def lstm(
    inward: Tensor, onward: Tensor, cell: Tensor, one: Tensor | None = None, other: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, the cell, and a workspace that nobody needs."""
    its = gates(inward, onward, (one, other), 4)
    enter, forget, new, out = (a + b for a, b in zip(*its, strict=True))
    after = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
    return out.sigmoid() * after.tanh(), after, inward


def registered() -> torch.library.Library:
    """The library that has them, as long as it is kept."""
    aten = torch.library.Library("aten", "IMPL")
    for name in LOWERED:
        for overload in ("default", "input"):
            operator = getattr(getattr(torch.ops.aten, name), overload, None)
            if operator is not None:
                aten.impl(operator, lowered(operator), "AutocastPrivateUse1")
    for key in ("PrivateUse1", "AutogradPrivateUse1"):
        aten.impl("_thnn_fused_gru_cell", gru, key)
        aten.impl("_thnn_fused_lstm_cell", lstm, key)
    return aten
