"""Commands that depend on one another, a few at a time, each with one thread; what is done is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from data.files import write_json

TAIL = 2000
REFRESH = 0.5


class JobError(Exception):
    """A command failed; the message has the end of what it said."""


@dataclass(frozen=True)
class Job:
    """One command line.

    Attributes:
        name: also of its files in the folder of notes; a slash makes a folder.
        arguments: of the Python interpreter, for example `["-m", "boed", "fit"]`.
        needs: names of the jobs that must be done before.
        result: file that shows that this job, or the one that it is for, is done.
    """

    name: str
    arguments: Sequence[str]
    needs: tuple[str, ...] = ()
    result: Path | None = None


class Command(Protocol):
    """A command line under way, as `subprocess.Popen` shows it."""

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...

    def wait(self) -> object: ...


def spawned(arguments: Sequence[str], log: Path) -> Command:
    """A Python interpreter of its own with one thread; what it says goes into `log`."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    with log.open("wb") as said:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdout=said,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | threads,
        )


def run_all(
    jobs: Sequence[Job],
    notes: Path,
    *,
    at_once: int = 2,
    say: Callable[[str], None] = print,
    start: Callable[[Sequence[str], Path], Command] = spawned,
    watch: Callable[[Mapping[str, Running], Collection[str]], None] | None = None,
) -> dict[str, float]:
    """Runs what is not done yet, in the given order where dependencies allow; returns seconds by name.

    Each job runs with one thread. Its time and command are kept in NOTES/NAME.json and what it says in
    NOTES/NAME.log, so that the same call takes up where the last one stopped. The time of a job that was
    interrupted and taken up again is the sum.

    Args:
        jobs: with unique names.
        notes: folder.
        at_once: how many run side by side.
        say: gets a line when a job starts and ends.
        start: starts a command that logs into a file.
        watch: gets twice a second what runs and the names of what is done; default a line on a terminal.

    Raises:
        JobError: a job failed, or the jobs need one another in a circle.
    """
    waiting = [job for job in jobs if not is_done(job, notes)]
    done = {job.name for job in jobs} - {job.name for job in waiting}
    running: dict[str, Running] = {}
    watch = watch or _show
    try:
        while waiting or running:
            ready = [job for job in waiting if done.issuperset(job.needs)]
            for job in ready[: at_once - len(running)]:
                say(f"{job.name} ...")
                running[job.name] = Running(job, notes, start)
                waiting.remove(job)
            if not running:
                raise JobError(f"expected jobs that can start, found {[job.name for job in waiting]} waiting")
            time.sleep(min(REFRESH, 0.05 * len(running)))
            watch(running, done)
            for name in [name for name, its in running.items() if its.process.poll() is not None]:
                say(f"{name}: {running.pop(name).close():.0f} s")
                done.add(name)
    finally:
        for its in running.values():
            its.stop()
    return {job.name: seconds(job, notes) for job in jobs}


def is_done(job: Job, notes: Path) -> bool:
    """Whether the result is there; without one, whether the same command ran to its end."""
    if job.result is not None:
        return job.result.exists()
    note = _read(notes / f"{job.name}.json")
    return bool(note.get("done")) and note.get("arguments") == list(job.arguments)


def seconds(job: Job, notes: Path) -> float:
    """Seconds that the job took, 0 where it was made in another way."""
    return float(_read(notes / f"{job.name}.json").get("seconds", 0.0))


class Running:
    """A job under way."""

    def __init__(self, job: Job, notes: Path, start: Callable[[Sequence[str], Path], Command]) -> None:
        self.job, self.note = job, notes / f"{job.name}.json"
        self.note.parent.mkdir(parents=True, exist_ok=True)
        self.before, self.since = seconds(job, notes), time.monotonic()
        self.log = notes / f"{job.name}.log"
        self.log.touch()
        self.process = start(job.arguments, self.log)

    def seconds(self) -> float:
        """Since this start."""
        return time.monotonic() - self.since

    def close(self) -> float:
        """Notes how it went; returns its seconds, or raises JobError when it failed."""
        total = self.before + self.seconds()
        good = self.process.returncode == 0
        note = {"arguments": list(self.job.arguments), "seconds": round(total, 2), "done": good}
        write_json(self.note, note)
        if not good:
            said = self.log.read_text(errors="replace").replace("\r", "\n")[-TAIL:]
            command = " ".join(["python", *self.job.arguments])
            raise JobError(f"{command}\nended with {self.process.returncode} after saying\n{said}")
        return total

    def stop(self) -> None:
        """Ends it and notes the time spent."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        try:
            self.close()
        except JobError:
            return

    def last_words(self) -> str:
        """The end of its log: the state of its progress bar."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 300))
            lines = log.read().decode(errors="replace").replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _show(running: Mapping[str, Running], done: Collection[str]) -> None:
    """One line with the progress of all that runs, on a terminal only."""
    if sys.stderr.isatty():
        line = "  |  ".join(its.last_words()[:90] for its in running.values())
        sys.stderr.write(f"\r\033[K{line[: os.get_terminal_size().columns - 1]}\r")
        sys.stderr.flush()


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}
