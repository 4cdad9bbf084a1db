"""One input of `benchmarks.fuzz`, tried in this process: what was answered, and what was wrong with that."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from benchmarks.fuzz.bytes import Input
from data.cli.commands import one_line_errors

SECONDS = 10.0  # that an answer may take
MEGABYTES = 1024  # of memory that an answer may take, beside what the process has
WARNED = r"\.py:[0-9]+: \w+Warning: "
RIGHT, CHANGED, REFUSED, FAULT = "right", "changed", "refused", "fault"
Answer = Callable[[str], object]


@dataclass(frozen=True)
class Case:
    """One file that a command reads.

    Attributes:
        kind: of files, a row of the table.
        name: of this one.
        path: where it is put.
        whole: its bytes when nothing is wrong.
        run: the command; its words, or a function.
        answer: what came of the command, from its standard output and from what it wrote.
        checked: whether the format has checksums of all its bytes, so that no damage may change an answer.
        weight: how often it is tried, against others.
        own: folder that the command may write into; None: the file itself.
    """

    kind: str
    name: str
    path: Path
    whole: bytes
    run: tuple[click.Command, list[str]] | Callable[[], object]
    answer: Answer
    checked: bool = False
    weight: float = 1.0
    own: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of an input.

    Attributes:
        verdict: right (the answer to the whole file), changed (another one, which the file says now), refused
            or fault.
        told: the line of the refusal, or what was wrong.
        megabytes: of memory, beside what the process had.
        seconds: that it took.
        answer: that was given.
    """

    verdict: str
    told: str
    megabytes: float
    seconds: float
    answer: str = ""


class House:
    """The folders that inputs are tried in: `inputs`, `run`, where commands may write, `cache` and `outside`.

    Args:
        root: of them; nothing else in it may change.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run, self.cache, self.outside = root / "run", root / "cache", root / "outside"
        for folder in (self.run, self.cache, self.outside, root / "inputs"):
            folder.mkdir(parents=True, exist_ok=True)
        self.wrote: list[str] = []
        self._watching = False
        self._own: Path | None = None
        sys.addaudithook(self._heard)

    def remember(self) -> None:
        """What is there now has to be there after every input."""
        self._facts = dict(self._every())
        self._contents = {name: Path(name).read_bytes() for name in self._facts}

    def _every(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for folder, names, files in os.walk(self.root):
            if folder == str(self.root):
                names.remove("run")
            for name in files:
                stat = os.lstat(os.path.join(folder, name))
                yield os.path.join(folder, name), (stat.st_size, stat.st_mtime_ns)

    @contextmanager
    def watched(self, own: Path) -> Iterator[list[str]]:
        """What is written outside of the folders for it, but for the input itself and what is beside it."""
        self._own, self.wrote = own, []
        here = Path.cwd()
        os.chdir(self.run)
        self._watching = True
        try:
            yield self.wrote
        finally:
            self._watching = False
            os.chdir(here)

    def restored(self, own: Path) -> list[str]:
        """Puts everything back as it was; which files had changed that are not a command's own."""
        now = dict(self._every())
        names = sorted(name for name in {*now, *self._facts} if now.get(name) != self._facts.get(name))
        for name in names:
            Path(name).unlink(missing_ok=True)
            if name in self._facts:
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).write_bytes(self._contents[name])
                os.utime(name, ns=(self._facts[name][1],) * 2)
        for folder in [
            folder for folder in self.cache.iterdir() if folder.is_dir() and not any(folder.iterdir())
        ]:
            folder.rmdir()
        shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir()
        return [name for name in names if not name.startswith((*_own_of(own), str(self.cache)))]

    def _heard(self, event: str, details: tuple[Any, ...]) -> None:
        """Of the interpreter, before it does what the event says."""
        if not self._watching:
            return
        if event in ("pickle.find_class", "subprocess.Popen", "os.system", "socket.connect"):
            self.wrote.append(event)
        elif event == "open" and _writes(details) and not self._allowed(details[0]):
            self.wrote.append(f"open {details[0]!r}")
        elif event in ("os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod") and not self._allowed(
            details[0]
        ):
            self.wrote.append(f"{event} {details[0]!r}")
        elif event in ("os.rename", "os.link", "os.symlink") and not all(map(self._allowed, details[:2])):
            self.wrote.append(f"{event} {details[:2]!r}")

    def _allowed(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True
        full = os.path.abspath(os.fsdecode(path))
        if os.path.isdir(full):
            return True  # asked for, and there already
        inside = (str(self.run), str(self.cache), *_own_of(self._own), "/dev/null", "/proc/self/")
        return full.startswith(inside)


def _writes(details: tuple[Any, ...]) -> bool:
    """Whether what is opened is opened to be written."""
    _, mode, flags = details
    if isinstance(mode, str):
        return any(sign in mode for sign in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))


def tried(house: House, case: Case, made: Input, whole: str | None) -> Outcome:
    """Puts an input in its place, runs the command on it, and puts the whole file back.

    Args:
        whole: the answer to the whole file; None: this is it.
    """
    case.path.unlink(missing_ok=True)
    case.path.write_bytes(made.content)
    before, start = _peak(reset=True), time.perf_counter()
    with house.watched(case.own or case.path) as wrote:
        verdict, told, answer = _answered(case)
    megabytes, seconds = _peak() - before, time.perf_counter() - start
    changed = house.restored(case.own or case.path)
    if verdict == RIGHT and whole is not None and answer != whole:
        verdict = CHANGED
        if case.checked and not made.sealed:
            verdict, told = FAULT, f"another answer, although the bytes are damaged: {answer[:200]}"
    if wrote or changed:
        verdict, told = FAULT, f"touched {', '.join([*wrote, *changed])[:300]}"
    if megabytes > MEGABYTES:
        verdict, told = FAULT, f"took {megabytes:.0f} MB; {told}"
    return Outcome(verdict, told, megabytes, seconds, answer)


def _answered(case: Case) -> tuple[str, str, str]:
    """Verdict, line and answer of the command."""
    if isinstance(case.run, tuple):
        command, words = case.run
        result = CliRunner().invoke(command, words)
        code, out, err, error = result.exit_code, result.stdout, result.stderr, result.exc_info
    else:
        code, out, err, error = _called(case.run)
    if code == 2 and not isinstance(error and error[1], Exception):
        return _refusal(out, err)
    if code != 0:
        lines = traceback.format_exception(*error) if error and error[1] else []
        return FAULT, f"exit code {code}: {' '.join(lines[-1:]).strip()}\n{''.join(lines[-3:])}", ""
    if re.search(rf"{WARNED}|Traceback \(", err):
        return FAULT, f"a warning: {err.strip()[-300:]}", ""
    try:
        return RIGHT, "", str(case.answer(out))
    except Exception as wrong:
        return FAULT, f"an answer that cannot be read: {wrong!r}", ""


def _refusal(out: str, err: str) -> tuple[str, str, str]:
    """Whether a refusal is one line that says what is wrong."""
    lines = [line for line in re.split(r"[\r\n]+", err) if line.strip()]
    last = lines[-1] if lines else ""
    told = last.startswith("error: ") and "expected" in last and sum("error: " in line for line in lines) == 1
    if out or not told or "Traceback (" in err or "found" not in last:
        return FAULT, f"no refusal in one line: {out[-200:]!r} {err[-500:]!r}", ""
    if len(last) > 3000:
        return FAULT, f"a line of {len(last)} characters: {last[:200]}", ""
    return REFUSED, last, ""


def _called(function: Callable[[], object]) -> tuple[int, str, str, Any]:
    """A function as if it were a command: exit code, standard output, standard error, error."""

    @click.command()
    def command() -> None:
        with one_line_errors():
            click.echo(function(), nl=False)

    result = CliRunner().invoke(command, [])
    return result.exit_code, result.stdout, result.stderr, result.exc_info


def _own_of(path: Path | None) -> tuple[str, ...]:
    """How the paths begin that are a command's own: the file, and who it belongs to beside it."""
    return () if path is None else (str(path), str(path.with_name(f".{path.name}.")))


def _peak(*, reset: bool = False) -> float:
    """Megabytes that the process has taken, at most since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*([0-9]+)", status)[1]) / 1024  # type: ignore[index]


def limit_memory(megabytes: int) -> None:
    """What goes beyond is refused by the system: a MemoryError, and no machine that swaps."""
    size = int(re.search(r"VmSize:\s*([0-9]+)", Path("/proc/self/status").read_text())[1]) * 1024  # type: ignore[index]
    resource.setrlimit(resource.RLIMIT_AS, (size + (megabytes << 20),) * 2)
