"""Work that is measured in turn, so that whatever else the machine does befalls all of it alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

WARM_UP = 3
Clock = Callable[[], float]


@dataclass(frozen=True)
class Work:
    """One kind of work.

    Attributes:
        call: does it once.
        amount: of what one call does, images or operations.
    """

    call: Callable[[], Any]
    amount: float


@dataclass(frozen=True)
class Spread:
    """The middle, the smallest and the largest of some numbers.

    >>> Spread.of([3.0, 1.0, 2.0])
    Spread(middle=2.0, least=1.0, most=3.0)
    """

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(median(values), min(values), max(values))


def rates(works: Mapping[str, Work], rounds: int, seconds: float, clock: Clock) -> dict[str, list[float]]:
    """Amount per second of each work, in each round; in a round each has at least `seconds`, one by one.

    >>> found = rates({"nothing": Work(lambda: None, 2.0)}, rounds=3, seconds=0.0, clock=time.perf_counter)
    >>> len(found["nothing"])
    3
    """
    for work in works.values():
        for _ in range(WARM_UP):
            work.call()
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(_rate(work, seconds, clock))
    return found


def _rate(work: Work, seconds: float, clock: Clock) -> float:
    start, calls = clock(), 0
    while calls == 0 or clock() - start < seconds:
        work.call()
        calls += 1
    return calls * work.amount / max(clock() - start, 1e-9)


def ratios(rate: list[float], other: list[float]) -> Spread:
    """How many times as fast, round by round.

    >>> ratios([4.0, 9.0], [2.0, 3.0])
    Spread(middle=2.5, least=2.0, most=3.0)
    """
    return Spread.of([one / two for one, two in zip(rate, other, strict=True)])


def clock_of(device: torch.device) -> Clock:
    """Seconds that this process had a CPU, or on a GPU those of the wall, when the GPU is done."""
    if device.type != "cuda":
        return time.process_time

    def waited() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return waited
