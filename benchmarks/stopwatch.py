"""Time by stage, without counting any moment twice, and the machine it was taken on."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from data.stages import Profile


class Stopwatch(Profile):
    """A profile whose stages are said where it is taken: blocks, and methods that are patched.

    Stages that the software has itself are charged within `data.stages.profiled(clock)`.

    >>> clock = Stopwatch()
    >>> with clock.stage("outer"), clock.stage("inner"):
    ...     pass
    >>> sorted(clock.seconds), abs(sum(clock.shares().values()) - 1) < 1e-9
    (['inner', 'outer'], True)
    """

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage from here to the end of the block."""
        self.begin(name)
        try:
            yield
        finally:
            self.end()

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


def machine(device: torch.device) -> str:
    """The processor, and the GPU where it computes."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else processor
