"""Several trainings at a time: each in a process of this machine, with one thread."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from typing import TypeVar

from data.errors import SettingsError, TrainingError

T = TypeVar("T")
R = TypeVar("R")


def spread(work: Callable[[T], R], things: Sequence[T], workers: int) -> Iterator[tuple[int, R]]:
    """Does a work on each of many things; gives its number, and what was made of it, as it is done.

    With one worker all is done here, in order. With several the work, the things and what is made of them
    are pickled. What the work raises is raised, and the others end with it.

    Args:
        workers: at a time.

    Raises:
        SettingsError: no workers.
        TrainingError: one of them was lost.

    >>> list(spread(abs, [-3, 4], 1))
    [(0, 3), (1, 4)]
    """
    if workers < 1:
        raise SettingsError(f"expected --workers of at least 1, found {workers}")
    if workers == 1:
        yield from enumerate(map(work, things))
        return
    with _pool(min(workers, max(len(things), 1))) as pool:
        numbers = {pool.submit(_do, pickle.dumps((work, thing))): at for at, thing in enumerate(things)}
        for done in as_completed(numbers):
            yield numbers[done], pickle.loads(done.result())


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Workers, which whatever ends this ends at once."""
    before = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin)
    try:
        yield pool
    except BaseException as error:
        for child in set(active_children()) - before:
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise TrainingError(
                "expected workers that stay, found one lost; the same command goes on where they were, with "
                "fewer --workers where memory does not do"
            ) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """In a worker: it has one thread, says nothing, leaves interrupts to its parent and ends with that."""
    os.environ["OMP_NUM_THREADS"] = "1"  # nothing that computes is imported yet
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
    Thread(target=_end_with_parent, daemon=True).start()


def _do(asked: bytes) -> bytes:
    """In a worker: what the work makes of a thing. What Python's pools pickle by themselves torch would put
    into shared memory, of which containers have little."""
    work, thing = pickle.loads(asked)
    return pickle.dumps(work(thing))


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
