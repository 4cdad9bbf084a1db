"""A command in a process of its own, with small settings, and ended by a signal at a chosen moment."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkProcess, SpawnProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.warm import run_module

CHECKED, SAVED = 20, 5  # iterations between two checks of a training, and between two states of a fit
BLOCK = 20  # images whose designs are written at once
COPIES = {"design": 1, "train": 1, "valid": 1, "test": 1}  # of each handwritten digit
SECONDS = 1 / 64  # that an iteration takes by the counted clock, exact in floating point
TOUCHES = ("os.rename", "os.remove", "os.mkdir", "os.chmod", "os.truncate")
"""Audit events of what is done to a file, beside "open" for writing."""


@dataclass(frozen=True)
class Blow:
    """When a signal comes: after `seconds`, or right before the `touch`-th time that a file is touched."""

    sign: int = signal.SIGKILL
    seconds: float | None = None
    touch: int | None = None


def run(
    words: Sequence[str], folder: Path, log: Path, tables: Path, blow: Blow | None, limit: float
) -> tuple[int | None, float]:
    """Runs `python -m WORDS` in a folder; its exit code, None where it hung, and how long it took.

    Args:
        log: gets all that it says.
        tables: folder of the tables that `hardattn reproduce` has.
        blow: when it is ended; None: never.
        limit: seconds after which it hangs.
    """
    kind = ForkProcess if sys.platform == "linux" else SpawnProcess
    process, start = kind(target=_work, args=(list(words), folder, log, tables, blow)), time.monotonic()
    process.start()
    try:
        if blow is not None and blow.seconds is not None:
            process.join(blow.seconds)
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, blow.sign)
        process.join(limit)
        return process.exitcode, time.monotonic() - start
    finally:
        process.kill()
        process.join()


def _work(words: list[str], folder: Path, log: Path, tables: Path, blow: Blow | None) -> None:
    os.chdir(folder)
    make_small(tables)
    if blow is None:
        count_touches(folder, log.with_suffix(".touches"))
    elif blow.touch is not None:
        end_at_touch(folder, blow.touch, blow.sign)
    run_module(["-m", *words], log)


def make_small(tables: Path) -> None:
    """Frequent checks, few images, tables of another folder, and trainings whose clock counts iterations."""
    import boed.fitting.fit_state
    import boed.generation
    import data.digits
    import hardattn.experiments.reproduce.settings
    import hardattn.training.budget

    boed.fitting.fit_state.SAVE_EVERY = SAVED
    hardattn.training.budget.CHECK_EVERY = CHECKED
    boed.generation.BLOCK = BLOCK
    data.digits.COPIES = COPIES
    hardattn.experiments.reproduce.settings._tables = lambda: tables
    count_time()


def count_time() -> None:
    """Trainings read a clock that iterations move: with a budget of minutes, too, they always do the same."""
    import hardattn.training.trainer as trainer

    done, descend = [0], trainer.Trainer.descend

    def counted(self: trainer.Trainer, *given: Any) -> None:
        descend(self, *given)
        done[0] += 1

    trainer.Trainer.descend = counted  # type: ignore[method-assign]
    clock: Any = SimpleNamespace(monotonic=lambda: done[0] * SECONDS)
    trainer.time = clock


def end_at_touch(folder: Path, number: int, sign: int) -> None:
    """Ends this process right before it touches a file in `folder` for the `number`-th time."""
    left = [number]

    def touched() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), sign)

    on_touch(folder, touched)


def count_touches(folder: Path, note: Path) -> None:
    """Keeps in a file how often files in `folder` were touched."""
    count = [0]
    number = os.open(note, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)

    def touched() -> None:
        count[0] += 1
        os.pwrite(number, str(count[0]).encode(), 0)

    on_touch(folder, touched)


def on_touch(folder: Path, touched: Callable[[], None]) -> None:
    """Calls `touched` before anything in `folder` is opened for writing, renamed or removed, or, of HDF5,
    written."""
    import h5py

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(given[2], int):
            wrote = given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            wrote = event in TOUCHES
        if wrote and _within(folder, given[0]):
            touched()

    sys.addaudithook(hook)
    for owner, name in ((h5py.Dataset, "__setitem__"), (h5py.AttributeManager, "modify")):
        setattr(owner, name, _before(getattr(owner, name), touched))


def _before(method: Callable[..., Any], touched: Callable[[], None]) -> Callable[..., Any]:
    def announced(*given: Any, **named: Any) -> Any:
        touched()
        return method(*given, **named)

    return announced


def _within(folder: Path, path: object) -> bool:
    """Whether a path, of which a relative one starts at the working folder, is of a file in `folder`."""
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    return os.path.abspath(os.fsdecode(path)).startswith(f"{folder}{os.sep}")


def touches(log: Path) -> int:
    """How often a command that was never ended touched files."""
    return int(log.with_suffix(".touches").read_text())


EXPECTED: Mapping[int, int] = {
    signal.SIGKILL: -signal.SIGKILL,
    signal.SIGTERM: 128 + signal.SIGTERM,
    signal.SIGINT: 128 + signal.SIGINT,
}
"""Signal -> the exit code, as `multiprocessing` says it, of a command that it ends."""
