"""Linear layers by whichever of PyTorch's two CPU libraries has the wider vectors on this processor.

PyTorch hands float32 products to MKL, which keeps to half of the vectors of AVX-512 on processors of other
makers than Intel; oneDNN, which comes with PyTorch too, asks what the processor can do. On Intel's, on other
devices and in other types these layers are `nn.Linear`. Which it is depends on the processor alone: a timing
could fall out otherwise when a run is taken up again.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear as plain_linear
from torch.utils.flop_counter import register_flop_formula

INTEL = "GenuineIntel"
SMALL = 2**19  # multiply-adds below which oneDNN takes longer to begin than MKL to end

torch.library.define("hardattn::product", "(Tensor x, Tensor weight, Tensor? bias) -> Tensor")


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(N, M) x W^T + b of x (N, D), W (M, D), b (M,) on the CPU, without a gradient, by oneDNN.

    An operator of its own, which `torch.compile` takes as it is.
    """
    found: Tensor = torch.ops.hardattn.product.default(x, weight, bias)
    return found


@torch.library.impl("hardattn::product", "cpu")
def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if x.numel() * len(weight) < SMALL:
        return plain_linear(x, weight, bias)
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        weight = weight.contiguous()  # at other strides oneDNN is a hundred times slower
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found


@torch.library.register_fake("hardattn::product")  # type: ignore[untyped-decorator]
def _shape(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(len(x), len(weight))


@register_flop_formula(torch.ops.hardattn.product)
def _flops(x: Any, weight: Any, *rest: Any, **named: Any) -> int:
    """Of a product (N, D) x (D, M), for torch's counter, which hands over shapes."""
    return int(2 * torch.Size(x).numel() * weight[0])


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., M) x W^T + b of x (..., D), W (M, D), b (M,).

    >>> linear(torch.ones(2, 5, 3), torch.ones(4, 3), torch.ones(4)).unique()
    tensor([4.])
    """
    if not (ONEDNN and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32):
        return plain_linear(x, weight, bias)
    if torch.is_autocast_enabled("cpu"):  # which knows no operators of others
        return plain_linear(x, weight, bias)
    flat = x.reshape(-1, x.shape[-1]).contiguous()
    found: Tensor = _Linear.apply(flat, weight, bias)
    return found.view(*x.shape[:-1], len(weight))


@contextmanager
def plain_layers() -> Iterator[None]:
    """While it lasts all of them are `nn.Linear`: what is traced for other programs has no operator of ours.

    >>> layer, x = Linear(3, 4), torch.rand(2, 3)
    >>> with plain_layers():
    ...     torch.equal(layer(x), plain_linear(x, layer.weight, layer.bias))
    True
    """
    global ONEDNN
    before, ONEDNN = ONEDNN, False
    try:
        yield
    finally:
        ONEDNN = before


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
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()  # that of a sum is expanded
        by_x, by_weight, by_bias = ctx.needs_input_grad
        return (
            product(gradient, weight.t()) if by_x else None,
            _transposed_product(gradient, x) if by_weight else None,
            gradient.sum(0) if by_bias else None,
        )


def _transposed_product(one: Tensor, other: Tensor) -> Tensor:
    """(M, D) one^T other of (N, M) and (N, D): the narrower one in rows, as oneDNN is faster then."""
    if one.shape[1] > other.shape[1]:
        return product(other.t(), one.t()).t()
    return product(one.t(), other.t())


def _is_faster() -> bool:
    """Whether oneDNN's products are; as its linear layer is not documented, it is tried once."""
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    if not (wide and torch.backends.mkldnn.is_available()) or _maker() == INTEL:
        return False
    try:
        found = torch.ops.mkldnn._linear_pointwise(torch.ones(2, 3), torch.ones(4, 3), None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool((found == 3).all())


def _maker() -> str:
    """Of the processor, as it says itself."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    makers = [line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")]
    return makers[0] if makers else platform.processor().split(" ")[-1]


ONEDNN = _is_faster()
