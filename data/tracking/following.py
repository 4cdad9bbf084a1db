"""Follows a log and tells a tracker of it; whatever becomes of the tracker, the training goes on.

The log of a training is the truth: a tracker is told the lines that it does not know yet, in their order.
How many it knows is noted in the run's folder, so that no line is told twice, and that a tracker which comes
late, or had failed, is told all the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.errors import on_one_line
from data.files import write_json
from data.logs import STEP, metrics_of, read_log
from data.progress import say
from data.tracking.pictures import draw_curves
from data.tracking.registry import TRACKERS
from data.tracking.tracker import Parameter, RunTracker, TrackedRun, Tracker

NOTED = "trackers.json"
CURVES = "curves"  # name of the picture
LONGEST = 250  # of a parameter, in letters

Tell = Callable[[], None]
"""Tells the tracker what the log has by now."""


@contextmanager
def following(
    tracker: Tracker | str | None, log: Path, parameters: Callable[[], Mapping[str, Any]]
) -> Iterator[Tell]:
    """Tells a tracker of the log of a run, as far as it is, whenever that is called; once more at the end.

    Args:
        tracker: a name, whose run is kept in the folder of the log; an object of one's own, which is told the
            lines that are new since now; or None.
        log: see `data.logs`.
        parameters: of the run, nested or not; asked when a tracker is to be told of them.

    >>> class Printer:
    ...     def log(self, metrics, step):
    ...         print(step, metrics)
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "log.jsonl"
    ...     with following(Printer(), path, dict) as tell:
    ...         path.write_text('{"iteration": 100, "nll": 0.5}\\n') and tell()
    100 {'nll': 0.5}
    """
    if tracker is None:
        yield lambda: None
        return
    if isinstance(tracker, str):
        follower = _of_name(tracker, log, parameters)
    else:
        follower = _of_object(tracker, log, parameters)
    try:
        yield follower.tell
    except BaseException:
        follower.close(finished=False)
        raise
    follower.tell()
    follower.close(finished=True)


@dataclass
class Told:
    """What a tracker knows of a log.

    Attributes:
        lines: how many of its first ones.
        run: see `RunTracker.run`; None: it has not begun.
    """

    lines: int = 0
    run: str | None = None


class Follower:
    """See `following`.

    Args:
        name: of the tracker, for messages.
        log: that is followed.
        parameters: see `following`.
        told: what the tracker knows of the log.
        opened: the tracker, by its `run`, which is None at the beginning.
        noted: called with `told` before each line is told.
        hint: what becomes of lines that a tracker which fails is not told.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        parameters: Callable[[], Mapping[str, Any]],
        told: Told,
        opened: Callable[[str | None], RunTracker],
        noted: Callable[[Told], object] = lambda told: None,
        hint: str = "",
    ) -> None:
        self.name, self.log, self.parameters, self.hint = name, log, parameters, hint
        self.told, self.opened, self.noted = told, opened, noted
        self.tracker: RunTracker | None = None
        self.failed = False

    def tell(self) -> None:
        """Tells the lines that the tracker does not know; a log that is shorter than it knows begins anew."""
        if self.failed:
            return
        with self._spared():
            lines = list(read_log(self.log))
            if len(lines) < self.told.lines:
                self._begin_anew()
            for line in lines[self.told.lines :]:
                self._tell(line)

    def close(self, finished: bool) -> None:
        """Ends what is told; with a picture of the curves where the training is finished."""
        tracker = self.tracker
        if tracker is None:
            return
        with self._spared():
            if finished and not self.failed:
                lines = list(read_log(self.log))
                tracker.figure(CURVES, draw_curves(lines, self.log.parent.name), lines[-1][STEP])
        with self._spared():
            tracker.close(finished and not self.failed)

    def _tell(self, line: Mapping[str, Any]) -> None:
        tracker = self._open()
        self.told.lines += 1
        self.noted(self.told)
        try:
            tracker.log(metrics_of(line), line[STEP])
        except Exception:
            self.told.lines -= 1
            self.noted(self.told)
            raise

    def _open(self) -> RunTracker:
        if self.tracker is None:
            self.tracker = self.opened(self.told.run)
            self.tracker.parameters(flat(self.parameters()))
            self.told.run = self.tracker.run
        return self.tracker

    def _begin_anew(self) -> None:
        if self.tracker is not None:
            self.tracker.close(finished=False)
        self.tracker, self.told = None, Told()

    @contextmanager
    def _spared(self) -> Iterator[None]:
        """A failure of the tracker is one line, the first time, and no more than that."""
        try:
            yield
        except Exception as error:  # whatever somebody else's package raises
            if not self.failed:
                found = on_one_line(f"{type(error).__name__}: {error}")
                say(f"warning: the tracker {self.name} failed ({found}); the training goes on{self.hint}")
            self.failed = True


def _of_name(name: str, log: Path, parameters: Callable[[], Mapping[str, Any]]) -> Follower:
    """Of a tracker that keeps a run, which is found again."""
    path = log.parent / NOTED

    def noted(told: Told) -> None:
        write_json(path, _noted(path) | {name: asdict(told)})

    def opened(known: str | None) -> RunTracker:
        return TRACKERS.require(name)(TrackedRun(log.parent, known))

    try:
        told = Told(**_noted(path).get(name, {}))
    except TypeError:  # of another version
        told = Told()
    hint = ", and the same command tells it the rest"
    return Follower(name, log, parameters, told, opened, noted, hint)


def _noted(path: Path) -> dict[str, Any]:
    """What the folder says of each tracker; nothing where that cannot be read."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _of_object(tracker: Tracker, log: Path, parameters: Callable[[], Mapping[str, Any]]) -> Follower:
    """Of an object of one's own, which knows what is there already."""
    own = tracker if isinstance(tracker, RunTracker) else _LogAlone(tracker)
    told = Told(len(list(read_log(log))))
    return Follower(type(tracker).__name__, log, parameters, told, lambda known: own)


class _LogAlone(RunTracker):
    """An object of one's own that has `log`, and needs no more."""

    def __init__(self, own: Tracker) -> None:
        self.own = own

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.own.log(metrics, step)


def flat(values: Mapping[str, Any], within: str = "") -> dict[str, Parameter]:
    """Nested values by the names that lead to them; what is no number or text, as JSON.

    >>> flat({"seed": 0, "recipe": {"hidden": 8, "clip": None, "rewards": {}}, "classes": ["a", "b"]})
    {'seed': 0, 'recipe.hidden': 8, 'recipe.clip': 'null', 'classes': '["a", "b"]'}
    """
    found: dict[str, Parameter] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{within}{name}.")
        else:
            found[within + name] = value if isinstance(value, (int, float)) else _text(value)
    return found


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}.."
