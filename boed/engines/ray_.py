"""The engine of several machines: a Ray cluster, which does again what its lost workers had.

Ray (Moritz et al., Ray: a distributed framework for emerging AI applications, OSDI 2018) is an extra of this
project.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import chain, islice
from signal import SIGTERM, getsignal, signal
from threading import current_thread, main_thread
from types import ModuleType
from typing import Any, TypeVar

from boed.engines.registry import ENGINES
from data.errors import SettingsError, WorkerError

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 3  # of a thing whose worker was lost
REACHED_WITHIN = 10.0  # seconds
_WORK: dict[str, Callable[[Any], Any]] = {}  # the work that this process has, if it is a worker
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no word of its use is sent anywhere
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # accelerators are left as they are
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # a lost worker is no result: nothing of it on standard output
}
"""Settings of Ray, some of which it reads when it is imported; what the user has set stays."""


@ENGINES.register("ray")
class Ray:
    """Tasks on a Ray cluster, one core each; the work is put into each machine's object store once.

    Args:
        workers: tasks at a time; default as many as the cluster has cores.
        address: of a running cluster; default one of this machine, until all is done.

    Raises:
        SettingsError: no workers, or Ray is not installed.
    """

    here = False

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        if workers is not None and workers < 1:
            raise SettingsError(f"expected workers of at least 1, found {workers}; change it")
        self.ray, self.workers, self.address = _ray(), workers, address

    def __call__(self, work: Callable[[T], R], things: Iterable[T]) -> Generator[tuple[int, R], None, None]:
        waiting = enumerate(things)
        for first in waiting:  # without one no cluster is asked for
            with _cluster(self.ray, self.workers, self.address):
                cores = int(self.ray.cluster_resources().get("CPU", 1))
                yield from self._results(work, chain([first], waiting), self.workers or max(1, cores))

    def _results(
        self, work: Callable[[T], R], waiting: Iterator[tuple[int, T]], most: int
    ) -> Iterator[tuple[int, R]]:
        do, kept = self.ray.remote(max_retries=RETRIES)(_do), self.ray.put(work)
        running: dict[Any, int] = {}
        try:
            while True:
                for number, thing in islice(waiting, most - len(running)):
                    running[do.remote([kept], thing)] = number
                if not running:
                    return
                for task in self.ray.wait(list(running))[0]:
                    made = self._result(task)
                    yield running.pop(task), made
        finally:
            for task in running:
                self.ray.cancel(task, force=True)

    def _result(self, task: Any) -> Any:
        """What a task made, or what its work raised."""
        errors = self.ray.exceptions
        try:
            return self.ray.get(task)
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:
            raise WorkerError(
                f"expected workers that stay, found one lost {RETRIES + 1} times or not to be reached "
                f"({_first_line(error)}); their memory may not do: use fewer --workers"
            ) from None


@contextmanager
def _cluster(ray: ModuleType, workers: int | None, address: str | None) -> Iterator[None]:
    """While it lasts there is a connection to a cluster: the one that there was, a running or a new one."""
    if ray.is_initialized():
        yield
        return
    _require_reachable(address)
    before = getsignal(SIGTERM)
    cores = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **cores)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise WorkerError(
            f"expected a Ray cluster at {address or 'this machine'}, found: {_first_line(error)}; start one "
            "with `ray start --head` and name its --address"
        ) from None
    if current_thread() is main_thread():  # Ray takes SIGTERM for itself, and keeps it
        signal(SIGTERM, before)
    try:
        yield
    finally:
        ray.shutdown()


def _require_reachable(address: str | None) -> None:
    """Raises WorkerError where nobody answers at HOST:PORT, which Ray would ask for minutes."""
    found = re.fullmatch(r"(?:ray://)?(?P<host>[^/]+):(?P<port>[0-9]+)", address or "")
    if found is None:
        return
    try:
        socket.create_connection((found["host"], int(found["port"])), REACHED_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise WorkerError(
            f"expected a Ray cluster at {address}, found: {_first_line(error)}; start one with `ray start "
            "--head` and name its --address"
        ) from None


def _do(kept: list[Any], thing: Any) -> Any:
    """In a worker: what the work makes of a thing; the work is taken from the object store once."""
    key = kept[0].hex()
    if key not in _WORK:
        _WORK.clear()
        _WORK[key] = _ray().get(kept[0])
    return _WORK[key](thing)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _ray() -> ModuleType:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        return import_module("ray")
    except ImportError as error:
        raise SettingsError(
            f"expected Ray for --engine ray, found: {error}; pip install 'boed-hardattn[ray]'"
        ) from error
