"""Time by stage, without counting any moment twice, and the machine it was taken on."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


class Stopwatch:
    """Charges every moment to the innermost stage that is running.

    Args:
        device: where the work is done; a GPU is waited for whenever a stage begins or ends.
        now: clock that is read, in seconds; default wall time.

    >>> clock = Stopwatch()
    >>> with clock.stage("outer"), clock.stage("inner"):
    ...     pass
    >>> sorted(clock.seconds), abs(sum(clock.shares().values()) - 1) < 1e-9
    (['inner', 'outer'], True)
    """

    def __init__(self, device: torch.device | None = None, *, now: Callable[[], float] | None = None) -> None:
        self.device, self._now = device, now or time.perf_counter
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage from here to the end of the block."""
        self._charge()
        self._running.append(name)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def _charge(self) -> None:
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = self._now()
        if self._running:
            stage = self._running[-1]
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def patched(self, owner: type | ModuleType | None, stages: Mapping[str, str]) -> Iterator[None]:
        """Until the end of the block calls of these methods of a class, or functions of a module, are stages.

        Args:
            owner: the class or module; None patches nothing.
            stages: method -> name of its stage; what the owner does not have is left out.
        """
        originals = {name: owner.__dict__[name] for name in stages if name in vars(owner or object)}
        for name, method in originals.items():
            setattr(owner, name, self._timed(method, stages[name]))
        try:
            yield
        finally:
            for name, method in originals.items():
                setattr(owner, name, method)

    def _timed(self, method: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return method(*args, **kwargs)

        return timed

    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())

    def shares(self) -> dict[str, float]:
        """Share of each stage in the total."""
        return {name: seconds / self.total() for name, seconds in self.seconds.items()}


def machine(device: torch.device) -> str:
    """The processor, and the GPU where it computes."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else processor
