"""The engine of one machine: this process, or several others, of which lost ones are replaced."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.context import BaseContext
from threading import Thread
from typing import Any, TypeVar

from boed.engines.registry import ENGINES
from data.errors import SettingsError, WorkerError

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 3  # losses of workers, with nothing finished between them, after which it is given up
PRELOADED = ("torch", "pyro")  # which most works need
_WORK: list[Callable[[Any], Any]] = []  # of this process, if it is a worker


@ENGINES.register("local")
class Local:
    """Processes of this machine; with one worker, the process that calls.

    Args:
        workers: processes at a time.
        address: there is none.

    Raises:
        SettingsError: no workers, or an address.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        if address is not None:
            raise SettingsError(f"expected --engine ray with --address {address}, found local; add it")
        self.workers = 1 if workers is None else workers
        if self.workers < 1:
            raise SettingsError(f"expected workers of at least 1, found {workers}; change it")
        self.here = self.workers == 1

    def __call__(self, work: Callable[[T], R], things: Iterable[T]) -> Generator[tuple[int, R], None, None]:
        if not self.here:
            return _on_processes(work, things, self.workers)
        return ((number, work(thing)) for number, thing in enumerate(things))


def _on_processes(
    work: Callable[[T], R], things: Iterable[T], workers: int
) -> Generator[tuple[int, R], None, None]:
    waiting: Iterator[tuple[int, T]] = enumerate(things)
    lost = 0
    while True:
        held: dict[int, T] = {}  # what workers have, or may have had
        try:
            with _pool(work, workers) as pool:
                for number, made in _results(pool, waiting, held, 2 * workers):
                    lost = 0
                    yield number, made
            return
        except BrokenProcessPool:
            lost += 1
            if lost == ATTEMPTS:
                raise WorkerError(
                    f"expected workers that stay, found one lost {lost} times with nothing finished between; "
                    "their memory may not do: use fewer --workers"
                ) from None
            waiting = chain(held.items(), waiting)


def _results(
    pool: ProcessPoolExecutor, waiting: Iterator[tuple[int, T]], held: dict[int, T], most: int
) -> Iterator[tuple[int, Any]]:
    """Number and result of what waits, at most so much of it in the pool at a time."""
    running: dict[Future[bytes], int] = {}
    while True:
        for number, thing in islice(waiting, most - len(running)):
            held[number] = thing
            running[pool.submit(_do, pickle.dumps(thing))] = number
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            made = pickle.loads(future.result())
            number = running.pop(future)
            del held[number]
            yield number, made


@contextmanager
def _pool(work: Callable[[T], R], workers: int) -> Iterator[ProcessPoolExecutor]:
    """Workers that have the work; whatever else ends this than its end ends them at once.

    All is pickled here: what Python's pools pickle by themselves, torch would put into shared memory, of
    which containers have little.
    """
    before = set(active_children())
    pool = ProcessPoolExecutor(workers, _context(), _begin, (pickle.dumps(work),))
    try:
        yield pool
    except BaseException:
        for child in set(active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _context() -> BaseContext:
    """How workers start: with what is slow imported once, where a process that has it can be forked."""
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED])
    return context


def _begin(work: bytes) -> None:
    """In a worker: it gets the work, leaves interrupts to the process that called, and ends with that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    _WORK[:] = [pickle.loads(work)]


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _do(thing: bytes) -> bytes:
    """In a worker: what the work makes of a thing."""
    return pickle.dumps(_WORK[0](pickle.loads(thing)))
