"""The products of matrices that a call makes, made again by themselves: code around them only adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import data.linear  # noqa: F401 - whose products are an operator of its own

ATEN = torch.ops.aten
PRODUCTS = (
    torch.ops.hardattn.product.default,
    *(ATEN.mm.default, ATEN.addmm.default, ATEN.bmm.default, ATEN.baddbmm.default),
    *(ATEN.convolution.default, ATEN.convolution_backward.default),
)


class _Noting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every product, forward and backward, with what it is made of."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.noted: list[Callable[[], Any]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), named: dict[str, Any] | None = None
    ) -> Any:
        if function in PRODUCTS:
            self.noted.append(lambda: function(*arguments, **(named or {})))
        return function(*arguments, **(named or {}))


def own_products(call: Callable[[], Any]) -> Callable[[], None]:
    """Makes the products of one call of `call` again, with the same operands, and nothing else.

    >>> weight, made = torch.ones(3, 3), []
    >>> again = own_products(lambda: made.append((weight @ weight).relu()))
    >>> again(), again(), len(made)
    (None, None, 1)
    """
    with _Noting() as noting:
        call()

    @torch.no_grad()
    def again() -> None:
        for made in noting.noted:
            made()

    return again
