"""The contract of an engine: it does one work on many things, wherever it has workers for it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Does a work on many things, one after the other or at the same time.

    A call gives the number of a thing, from 0 in the order of the things, and what was made of it: each
    thing once, in the order in which they are finished. The work goes to each worker once; where a worker is
    another process, the work, the things and what is made of them are pickled. Things are taken when there is
    a worker for them, so that there may be more than memory has room for. What a lost worker had is done
    again. What the work raises is raised, and closing the generator leaves no worker behind.

    Attributes:
        here: whether all is done in the process that calls.

    Raises:
        WorkerError: workers are lost again and again, or cannot be reached.
    """

    here: bool

    def __call__(
        self, work: Callable[[T], R], things: Iterable[T]
    ) -> Generator[tuple[int, R], None, None]: ...
