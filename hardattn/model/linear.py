"""Linear layers by oneDNN on the CPU: the same products as `nn.Linear`, on some processors twice as fast.

PyTorch hands float32 products to MKL, which keeps to narrow vectors on processors of other makers; oneDNN,
which comes with PyTorch too, asks what the processor can do. Where it is missing, and on other devices and
types, these layers are `nn.Linear`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear as plain_linear
from torch.utils.flop_counter import register_flop_formula


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(N, M) x W^T + b of x (N, D), W (M, D), b (M,), without a gradient."""
    if x.dtype == torch.float32 and x.device.type == "cpu" and x.numel() and AVAILABLE:  # it refuses none
        if not (weight.is_contiguous() or weight.t().is_contiguous()):
            weight = weight.contiguous()  # at other strides oneDNN is a hundred times slower
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return found
    return plain_linear(x, weight, bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., M) x W^T + b of x (..., D), W (M, D), b (M,).

    >>> linear(torch.ones(2, 5, 3), torch.ones(4, 3), torch.ones(4)).unique()
    tensor([4.])
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or not AVAILABLE:
        return plain_linear(x, weight, bias)
    flat = x.reshape(-1, x.shape[-1]).contiguous()
    return _Linear.apply(flat, weight, bias).view(*x.shape[:-1], len(weight))


class Linear(nn.Linear):
    """`nn.Linear`, computed by `linear`.

    >>> Linear(3, 4)(torch.zeros(2, 3)).shape
    torch.Size([2, 4])
    """

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    """With a gradient: dx = g W, dW = g^T x, db = sum of g."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()  # that of a sum is expanded
        return (
            product(gradient, weight.t()) if ctx.needs_input_grad[0] else None,
            product(gradient.t(), x.t()) if ctx.needs_input_grad[1] else None,
            gradient.sum(0) if ctx.needs_input_grad[2] else None,
        )


def _flops(x: Any, weight: Any, *rest: Any, **named: Any) -> int:
    """Of a product (N, D) x (D, M), for torch's counter, which hands over shapes."""
    return int(2 * torch.Size(x).numel() * weight[0])


def _tried() -> bool:
    """Whether this PyTorch has oneDNN's linear layer; as it is not documented, it is tried once."""
    try:
        found = torch.ops.mkldnn._linear_pointwise(torch.ones(2, 3), torch.ones(4, 3), None, "none", [], "")
        register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_flops)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool((found == 3).all())


AVAILABLE = _tried()  # when imported, so that a counter of FLOPs knows it
