"""How far long work is: a bar in terminals and notebooks, and elsewhere a plain line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any, Generic, Protocol, Self, TextIO, TypeVar

from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
EVERY = 10.0  # seconds between two lines
UNWRITABLE = (
    AttributeError,
    OSError,
    ValueError,
)  # no stream, a full disk, a closed stream: no work fails by it


class Progress(Protocol[T_co]):
    """What shows how far work is, as `tqdm` does: to iterate over, or as a context with `update`.

    Attributes:
        n: how much is done.
    """

    n: int

    def __iter__(self) -> Iterator[T_co]: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...

    def update(self, n: int = 1) -> object:
        """Says that so much more is done."""
        ...

    def set_postfix(self, **figures: str) -> object:
        """Figures to be shown beside."""
        ...


def progress(
    iterable: Iterable[T], *, desc: str, total: int | None = None, initial: int = 0, unit: str = "it"
) -> Progress[T]:
    """Goes through `iterable` and shows on standard error how far it is, by what there is to show it in.

    In a terminal or a notebook it is a bar of tqdm. Where standard error is neither (a log file, a job of a
    cluster) it is a line at the beginning and every `EVERY` seconds: the share done and the time left. Where
    there is no standard error nothing is said.

    Args:
        desc: what is done.
        total: how much there is; default the length of `iterable`, where it has one.
        initial: how much was done before.
        unit: of what is counted.

    >>> sum(progress([1, 2, 3], desc="add"))
    6
    """
    return _shown(
        iterable, desc=desc, total=length_of(iterable) if total is None else total, initial=initial, unit=unit
    )


def progress_bar(
    *, desc: str, total: int | None = None, initial: int = 0, unit: str = "it"
) -> Progress[None]:
    """The same for work that tells by `update` how much of it is done, within a `with`.

    >>> with progress_bar(desc="add", total=3) as bar:
    ...     bar.update(2)
    >>> bar.n
    2
    """
    return _shown(None, desc=desc, total=total, initial=initial, unit=unit)


def _shown(iterable: Iterable[T] | None, **shown: Any) -> Progress[T]:
    if issubclass(tqdm, tqdm_notebook) or is_terminal(sys.stderr):
        bar = tqdm(iterable, mininterval=0.5, **shown)
        _go_by_steady_clock(bar)
        steady: Progress[T] = bar
        return steady
    return Lines(iterable, **shown)


def _go_by_steady_clock(bar: Any) -> None:
    """A bar of tqdm goes by the time of day, and would stand still for as long as that is set back."""
    if not getattr(bar, "disable", True):
        bar._time = time.monotonic
        bar.start_t = bar.last_print_t = time.monotonic()


def is_terminal(stream: object) -> bool:
    """Whether it is one: not where there is no stream, or it is closed.

    >>> is_terminal(None)
    False
    """
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        return False


def length_of(iterable: Iterable[object]) -> int | None:
    """How many there are, where it is known.

    >>> length_of("ab"), length_of(iter("ab"))
    (2, None)
    """
    try:
        return len(iterable)  # type: ignore[arg-type]
    except TypeError:
        return None


def say(line: str, stream: TextIO | None = None) -> None:
    """A line to a stream, default standard error, if there is one that can be written to."""
    stream = stream or sys.stderr
    if stream is not None:  # print would take standard output
        with suppress(*UNWRITABLE):
            print(line, file=stream, flush=True)


class Lines(Generic[T]):
    """Progress as plain lines, see `progress`; also while a single step takes long.

    Args:
        stream: where to; None: standard error, whatever it is at the time.
        clock: seconds.

    >>> with Lines(desc="fit", total=4, stream=sys.stdout) as bar:
    ...     bar.update()
    fit: 0 % of 4 it
    """

    def __init__(
        self,
        iterable: Iterable[T] | None = None,
        *,
        desc: str,
        total: int | None = None,
        initial: int = 0,
        unit: str = "it",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.iterable, self.desc, self.total, self.unit = iterable, desc, total, unit
        self.n, self.initial, self.stream, self.clock = initial, initial, stream, clock
        self.figures: dict[str, str] = {}
        self._start = self._last = clock()
        self._ended, self._lock = Event(), Lock()

    def __enter__(self) -> Self:
        self._start = self.clock()
        self._say(self.line())
        Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        spent = self.clock() - self._start
        if spent >= EVERY:
            how = "stopped" if any(raised) else "done"
            self._say(f"{self.desc}: {how} after {self.n} {self.unit}, {clock_time(spent)}{self._beside()}")

    def __iter__(self) -> Iterator[T]:
        with self:
            for each in self.iterable or ():
                yield each
                self.update()

    def update(self, n: int = 1) -> None:
        """So much more is done; says so if the last line is old."""
        self.n += n
        self.say_if_due()

    def set_postfix(self, **figures: str) -> None:
        """Figures to be shown beside, from the next line on."""
        self.figures = figures

    def say_if_due(self) -> None:
        """A line, if the last one is `EVERY` seconds old."""
        with self._lock:
            if self.clock() - self._last >= EVERY:
                self._say(self.line())

    def line(self) -> str:
        """How far it is."""
        if not self.total:
            return f"{self.desc}: {self.n} {self.unit}{self._beside()}"
        share = f"{self.desc}: {100 * self.n // self.total} % of {self.total} {self.unit}"
        done = self.n - self.initial
        if done <= 0:
            return f"{share}{self._beside()}"
        left = (self.clock() - self._start) / done * max(self.total - self.n, 0)
        return f"{share}, {clock_time(left)} left{self._beside()}"

    def _beside(self) -> str:
        return "".join(f", {name} {value}" for name, value in self.figures.items())

    def _say(self, line: str) -> None:
        self._last = self.clock()
        say(line, self.stream)

    def _beat(self) -> None:
        """Goes on saying it while nothing is finished."""
        while not self._ended.wait(EVERY / 10):
            self.say_if_due()


def clock_time(seconds: float) -> str:
    """
    >>> clock_time(3.6), clock_time(75), clock_time(3675)
    ('0:04', '1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
