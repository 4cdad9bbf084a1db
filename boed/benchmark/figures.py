"""Means over images with their standard errors, and the share of a gap that is closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Figures:
    """Something measured on images, for t = 1..T.

    Attributes:
        value: mean over the images, or a ratio of two means.
        error: its standard error, from the images alone: fits and templates are what they are.
    """

    value: list[float]
    error: list[float]

    def to_json(self, name: str) -> dict[str, Any]:
        """Values and errors under two names, each with t, as a string, for key.

        >>> Figures([0.5, 0.25], [0.1, 0.0]).to_json("epe")
        {'epe': {'1': 0.5, '2': 0.25}, 'epe_error': {'1': 0.1, '2': 0.0}}
        """
        return {name: by_step(self.value), f"{name}_error": by_step(self.error)}


def by_step(values: list[float]) -> dict[str, float]:
    """Values for t = 1, 2, ... by t.

    >>> by_step([0.5, 0.25])
    {'1': 0.5, '2': 0.25}
    """
    return {str(t): value for t, value in enumerate(values, 1)}


def mean_figures(values: Tensor) -> Figures:
    r"""Mean and $s / \sqrt n$ of values (n, T) of n images, of two images at least.

    >>> import torch
    >>> mean_figures(torch.tensor([[1.0], [3.0]])).error
    [1.0]
    """
    error = values.double().std(0) / len(values) ** 0.5
    return Figures(values.double().mean(0).tolist(), error.tolist())


def share_closed(random: Tensor, exact: Tensor, own: Tensor) -> Figures:
    r"""Share of the gap between random and exact design that another closes, on the same n images.

    $R = \frac{\bar r - \bar o}{\bar r - \bar e}, \qquad
    \mathrm{se}(R) = \frac{s(r - o - R\,(r - e))}{\sqrt n\,|\bar r - \bar e|}$

    the ratio of two means and its error by linearisation (the delta method), paired over images.

    Args:
        random, exact, own: (n, T) exact EPE in nats of what each looked at.

    >>> import torch
    >>> random, exact = torch.tensor([[2.0], [3.0]]), torch.tensor([[1.0], [1.0]])
    >>> share_closed(random, exact, 0.5 * (random + exact))
    Figures(value=[0.5], error=[0.0])
    """
    closed, gap = (random - own).double(), (random - exact).double()
    share = closed.mean(0) / gap.mean(0)
    error = (closed - share * gap).std(0) / (len(gap) ** 0.5 * gap.mean(0).abs())
    return Figures(share.tolist(), error.tolist())
