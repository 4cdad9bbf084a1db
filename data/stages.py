"""Where the time goes: stages of work have names, and their time is taken where somebody asks for it.

A stage is named where the work is, as a decorator or a block, `stage("codebook")`. Nothing is measured until
`profiled` says so; `boed fit --profile` is that around a command.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar

REST = "the rest"  # what is in no stage


class Profile:
    """Charges every moment to the innermost stage that is running; a GPU that computes is waited for.

    Args:
        now: clock that is read, in seconds; default wall time. `time.process_time`: CPU time.

    Attributes:
        seconds: of each stage, without those of the stages within it.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or time.perf_counter
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    def begin(self, name: str) -> None:
        """A stage, until `end`."""
        self._charge()
        self._running.append(name)

    def end(self) -> None:
        """The innermost stage is over."""
        self._charge()
        self._running.pop()

    def _charge(self) -> None:
        _wait_for_gpu()
        now = self._now()
        if self._running:
            stage = self._running[-1]
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now

    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())

    def shares(self) -> dict[str, float]:
        """Share of each stage in the total; they sum to 1."""
        total = self.total() or 1.0
        return {name: seconds / total for name, seconds in self.seconds.items()}

    def __str__(self) -> str:
        """A line for each stage, with its seconds and its share, the longest first; then all of them."""
        order = sorted(self.seconds.items(), key=lambda stage: -stage[1])
        rows = [*order, ("all", self.total())]
        total, width = self.total() or 1.0, max(len(name) for name, _ in rows)
        return "\n".join(
            f"{name:{width}} {spent:9.2f} s {100 * spent / total:5.1f} %" for name, spent in rows
        )


_ASKED: ContextVar[Profile | None] = ContextVar("profile", default=None)


def stage(name: str) -> Stage:
    """A stage of work: of a function that is decorated with it, or of a block.

    Without `profiled` around it, it does nothing. A generator is no such function: it works when it is asked.

    >>> @stage("squares")
    ... def squares(numbers):
    ...     with stage("list"):
    ...         numbers = list(numbers)
    ...     return [number**2 for number in numbers]
    >>> with profiled() as profile:
    ...     squares([1, 2, 3])
    [1, 4, 9]
    >>> sorted(profile.seconds), round(sum(profile.shares().values()), 9)
    (['list', 'squares', 'the rest'], 1.0)
    """
    return Stage(name)


@contextmanager
def profiled(profile: Profile | None = None) -> Iterator[Profile]:
    """Takes the time of the stages within the block, of the thread that it is in; see `stage`.

    Args:
        profile: that is charged, perhaps with another clock; default a new one.

    >>> with profiled(Profile(time.process_time)) as profile, stage("addition"):
    ...     sum(range(10))
    45
    >>> [line.split()[0] for line in str(profile).splitlines()][-1]
    'all'
    """
    kept = Profile() if profile is None else profile
    before = _ASKED.set(kept)
    kept.begin(REST)
    try:
        yield kept
    finally:
        kept.end()
        _ASKED.reset(before)


class Stage(ContextDecorator):
    """See `stage`; it may be entered again while it runs."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        profile = _ASKED.get()
        if profile is not None:
            profile.begin(self.name)

    def __exit__(self, *raised: object) -> None:
        profile = _ASKED.get()
        if profile is not None:
            profile.end()


def _wait_for_gpu() -> None:
    """Whoever has not imported torch has no GPU that computes."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
