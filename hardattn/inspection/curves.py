"""A differentiable loss along one number: its derivative by autograd, and by finite differences.

Shapes: V values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Curve:
    """A loss along a sweep.

    Attributes:
        values: (V,) that one number takes, increasing.
        losses: (V,) in nats.
        derivatives: (V,) of the loss by the number, as autograd has them.

    >>> along = curve(lambda value: value**2, torch.tensor([-2.0, -1.0, 1.0, 3.0]))
    >>> along.derivatives.tolist(), along.differences.tolist(), along.sign_changes, along.agreement
    ([-4.0, -2.0, 2.0, 6.0], [-1.0, 2.0], 1, 1.0)
    """

    values: Tensor
    losses: Tensor
    derivatives: Tensor

    @property
    def differences(self) -> Tensor:
        r"""(V - 2,) central finite differences $(L_{i+1} - L_{i-1}) / (v_{i+1} - v_{i-1})$ of inner values.

        The step is that of the sweep: they say where the loss goes as far as the next values.
        """
        return (self.losses[2:] - self.losses[:-2]) / (self.values[2:] - self.values[:-2])

    @property
    def sign_changes(self) -> int:
        """How often the derivative changes its sign along the sweep; zeros have none and are left out."""
        signs = self.derivatives.sign()
        signs = signs[signs != 0]
        return int((signs[1:] != signs[:-1]).sum())

    @property
    def agreement(self) -> float:
        """Share of the inner values at which derivative and finite difference have the same sign.

        Values at which one of them is 0 are left out; without any other it is not a number.
        """
        inner, across = self.derivatives[1:-1].sign(), self.differences.sign()
        told = (inner != 0) & (across != 0)
        return float((inner == across)[told].double().mean()) if bool(told.any()) else math.nan


def curve(losses_at: Callable[[Tensor], Tensor], values: Tensor) -> Curve:
    """The curve of losses (V,), each of its own value alone, at values (V,)."""
    free = values.detach().clone().requires_grad_()
    losses = losses_at(free)
    (derivatives,) = torch.autograd.grad(losses.sum(), free)
    return Curve(values, losses.detach(), derivatives)
