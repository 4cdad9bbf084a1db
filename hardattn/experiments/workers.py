"""Several trainings at a time: each in a process of this machine, with one thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any, TypeVar

from boed.engines.registry import engine

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Beside:
    """A work that others are done beside: it has one thread, and shows nothing.

    Args:
        work: of one thing.
    """

    work: Callable[[Any], Any]

    def __call__(self, thing: Any) -> Any:
        import torch  # slow, and a single process may not need it

        torch.set_num_threads(1)
        with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
            return self.work(thing)


def spread(work: Callable[[T], R], things: Iterable[T], workers: int) -> Generator[tuple[int, R], None, None]:
    """Does a work on each of many things, see `boed.engines.engine.Engine`; with one worker here, in order.

    What a lost worker was at is begun again: a training is taken up where it was.

    Args:
        workers: at a time.

    Raises:
        SettingsError: no workers.
        WorkerError: one was lost again and again.

    >>> list(spread(abs, [-3, 4], 1))
    [(0, 3), (1, 4)]
    """
    return engine(workers=workers)(work if workers == 1 else Beside(work), things)
