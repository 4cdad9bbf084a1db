"""A command in a process of its own, with small settings, struck at a chosen moment by a signal or a disk."""

from __future__ import annotations

import errno
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

CHECKED, SAVED = 10, 5  # iterations between two checks of a training, and between two states of a fit
BLOCK = 10  # images whose designs are written at once
DIGITS = {"design": 60, "train": 260, "valid": 60, "test": 60}  # each placed once
RESAMPLES = 20  # of the images, for intervals
SECONDS = 1 / 64  # that an iteration takes by the counted clock, exact in floating point
TOUCHES = ("os.rename", "os.remove", "os.mkdir", "os.chmod", "os.truncate")
"""Audit events of what is done to a file, beside "open" for writing."""
WRITES = ("open", "os.mkdir", "HDF5")  # what takes room


@dataclass(frozen=True)
class Means:
    """What strikes a command: a signal, or the error of a disk from some moment on.

    Attributes:
        sign: the signal.
        error: the number of the error.
        codes: exit codes, as `multiprocessing` says them, of a command that it ends: those below 0 are of one
            that had no time to say anything.
        says: what the command says otherwise.
    """

    codes: tuple[int, ...]
    says: str = ""
    sign: int | None = None
    error: int | None = None


INTERRUPTED = "interrupted"
MEANS: Mapping[str, Means] = {
    "KILL": Means((-signal.SIGKILL,), sign=signal.SIGKILL),
    "TERM": Means((143, -signal.SIGTERM), INTERRUPTED, sign=signal.SIGTERM),
    "INT": Means((130, -signal.SIGINT), INTERRUPTED, sign=signal.SIGINT),
    "FULL": Means((2,), "no room is left", error=errno.ENOSPC),
    "READONLY": Means((2,), "the disk is read-only", error=errno.EROFS),
}


@dataclass(frozen=True)
class Blow:
    """When it comes: after `seconds`, or right before the `touch`-th time that a file is touched."""

    means: Means
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
            if process.is_alive() and process.pid is not None and blow.means.sign is not None:
                os.kill(process.pid, blow.means.sign)
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
        strike_at_touch(folder, blow.touch, blow.means)
    run_module(["-m", *words], log)


def make_small(tables: Path) -> None:
    """Frequent checks, few images, tables of another folder, and trainings whose clock counts iterations."""
    import boed.fitting.fit_state
    import boed.generation
    import data.digits
    import hardattn.evaluation
    import hardattn.experiments.reproduce.settings
    import hardattn.training.budget

    boed.fitting.fit_state.SAVE_EVERY = SAVED
    hardattn.training.budget.CHECK_EVERY = CHECKED
    boed.generation.BLOCK = BLOCK
    data.digits.COUNTS, data.digits.COPIES = DIGITS, dict.fromkeys(DIGITS, 1)
    hardattn.evaluation.RESAMPLES = RESAMPLES
    hardattn.experiments.reproduce.settings._tables = lambda: tables
    count_time()


def count_time() -> None:
    """Trainings read a clock that iterations move: with a budget of minutes, too, they always do the same."""
    import hardattn.training.trainer as trainer

    done, descend = [0], trainer.Trainer.descend

    def counted(*given: Any, **named: Any) -> None:
        descend(*given, **named)
        done[0] += 1

    clock = SimpleNamespace(monotonic=lambda: done[0] * SECONDS)
    for owner, name, value in ((trainer.Trainer, "descend", counted), (trainer, "time", clock)):
        setattr(owner, name, value)


def strike_at_touch(folder: Path, number: int, means: Means) -> None:
    """Strikes this process right before it touches a file in `folder` for the `number`-th time.

    A full disk refuses what is written from then on, and a read-only one all else, too.
    """
    left = [number]

    def touched(event: str) -> None:
        left[0] -= 1
        if left[0] == 0 and means.sign is not None:
            os.kill(os.getpid(), means.sign)
        refused = event in WRITES if means.error == errno.ENOSPC else means.error is not None
        if left[0] <= 0 and refused:
            raise OSError(means.error, os.strerror(means.error or 0))

    on_touch(folder, touched)


def count_touches(folder: Path, note: Path) -> None:
    """Keeps in a file how often files in `folder` were touched."""
    count = [0]
    number = os.open(note, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)

    def touched(_: str) -> None:
        count[0] += 1
        os.pwrite(number, str(count[0]).encode(), 0)

    on_touch(folder, touched)


def on_touch(folder: Path, touched: Callable[[str], None]) -> None:
    """Calls `touched` with the kind of it before anything in `folder` is opened for writing, renamed or
    removed, or, of HDF5, written."""
    import h5py

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(given[2], int):
            wrote = given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            wrote = event in TOUCHES
        if wrote and _within(folder, given[0]):
            touched(event)

    sys.addaudithook(hook)
    for owner, name in ((h5py.Dataset, "__setitem__"), (h5py.AttributeManager, "modify")):
        setattr(owner, name, _before(getattr(owner, name), touched))


def _before(method: Callable[..., Any], touched: Callable[[str], None]) -> Callable[..., Any]:
    def announced(*given: Any, **named: Any) -> Any:
        touched("HDF5")
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
