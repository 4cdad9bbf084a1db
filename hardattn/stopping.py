"""When to stop looking: rules that turn predicted gains into a number of glimpses per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import nll_loss


def fixed(gains: Tensor, threshold: float) -> Tensor:
    """(B,) glimpses: `threshold` of them for every image.

    >>> fixed(torch.zeros(2, 5), 3).tolist()
    [3, 3]
    """
    return torch.full((len(gains),), int(threshold), device=gains.device)


def predicted_gain(gains: Tensor, threshold: float) -> Tensor:
    """(B,) glimpses: stops before the first glimpse from the second on that promises less than `threshold`.

    Args:
        gains: (B, T) information gain predicted before each glimpse, in nats.
        threshold: in nats.

    >>> predicted_gain(torch.tensor([[0.0, 0.3, 0.1, 0.3], [0.0, 0.1, 0.3, 0.3]]), 0.2).tolist()
    [2, 1]
    """
    goes_on = (gains[:, 1:] >= threshold).long().cumprod(1)
    return 1 + goes_on.sum(1)


RULES: dict[str, Callable[[Tensor, float], Tensor]] = {"fixed": fixed, "gain": predicted_gain}


@dataclass(frozen=True)
class Point:
    """One point of the accuracy-compute curve; `mflops` and `mean_glimpses` are per image."""

    rule: str
    threshold: float
    mean_glimpses: float
    mflops: float
    accuracy: float
    nll: float


def quantile_thresholds(gains: Tensor, count: int = 15) -> list[float]:
    """Thresholds that spread the stopping over (B, T) predicted gains: their quantiles from glimpse 2 on."""
    later = gains[:, 1:].double().flatten()
    if len(later) == 0:
        return []
    return torch.quantile(later.cpu(), torch.linspace(0, 1, count, dtype=torch.float64)).unique().tolist()


def curve(
    gains: Tensor, logits: Tensor, labels: Tensor, mflops: float, thresholds: Sequence[float]
) -> list[Point]:
    """Accuracy and NLL against glimpses: fixed t = 1..T, then the gain rule at each threshold.

    Args:
        gains: (B, T) predicted before each glimpse.
        logits: (B, T, K) after each glimpse.
        labels: (B,).
        mflops: of one glimpse.
        thresholds: of the gain rule, in nats.
    """
    steps = logits.shape[1]
    settings = [("fixed", float(t)) for t in range(1, steps + 1)] + [("gain", float(v)) for v in thresholds]
    log_probs = logits.float().log_softmax(-1)
    return [_point(rule, threshold, gains, log_probs, labels, mflops) for rule, threshold in settings]


def _point(
    rule: str, threshold: float, gains: Tensor, log_probs: Tensor, labels: Tensor, mflops: float
) -> Point:
    taken = RULES[rule](gains, threshold)
    final = log_probs[torch.arange(len(taken), device=taken.device), taken - 1]  # (B, K)
    mean = taken.double().mean().item()
    accuracy = (final.argmax(1) == labels).double().mean().item()
    return Point(rule, threshold, mean, mean * mflops, accuracy, nll_loss(final, labels).item())
