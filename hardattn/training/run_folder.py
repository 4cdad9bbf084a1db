"""The folder of a training run: opened once, filled check by check, taken up where it was left."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, Protocol

from data.errors import CheckpointError, SettingsError, TrainingError, one_line
from data.files import parse_json, write_json, write_text
from data.owner import owned
from data.progress import Progress, progress_bar
from data.tensors import load_tensors, save_tensors
from data.version import SOFTWARE
from hardattn.training import checkpoint
from hardattn.training.budget import Budget, is_check
from hardattn.training.convergence import missed_by
from hardattn.training.settings import RunFile, RunSettings, read_run
from hardattn.training.trainer import Trainer
from supervision.batches import Batch

LARGEST_SEED = 2**31
FIGURES = ("iteration", "seconds", "nll", "accuracy")  # that every line of a log has
Validate = Callable[[Any], tuple[dict[str, Any], dict[str, Any]]]
"""A network -> its figures on the validation images, and what is noted with its weights."""


class Tracker(Protocol):
    """Is told how a training goes; experiment trackers have such a method, or get one in three lines.

    >>> class Printer:
    ...     def log(self, metrics: Mapping[str, float], step: int) -> None:
    ...         print(step, metrics)
    >>> tracker: Tracker = Printer()
    >>> tracker.log({"nll": 0.5}, 100)
    100 {'nll': 0.5}
    """

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Figures of the validation images (`nll` in nats, `accuracy`), the seconds of training and the terms
        of the loss, after `step` iterations."""
        ...


def open_run(
    folder: Path,
    settings: RunSettings,
    opened_with: Mapping[str, Any] | None = None,
    imitated: Mapping[str, Any] | None = None,
    command: Sequence[str] | None = None,
) -> None:
    """Writes run.json, or checks that the one that is there is of the same run.

    Args:
        settings: what decides whether it is the same run.
        opened_with, imitated, command: noted, and not compared; see `RunFile`.

    Raises:
        CheckpointError: the run that is there has other settings; the message has both values.
    """
    path = folder / checkpoint.RUN
    if path.exists():
        checkpoint.require_same(path, settings.to_json(), _completed(read_run(folder).settings, settings))
        return
    noted = RunFile(settings.to_json(), SOFTWARE, opened_with or {}, imitated, command)
    write_json(path, noted.to_json())


def _completed(kept: Mapping[str, Any], settings: RunSettings) -> dict[str, Any]:
    """What a run.json has, and beside it what could not be chosen yet when it was written: as it was then."""
    recipe, default = kept.get("recipe"), asdict(type(settings.recipe)())
    return {**kept, "recipe": default | recipe} if isinstance(recipe, dict) else dict(kept)


def run_to_the_end(
    learner: Trainer,
    batches: Iterable[Batch],
    validate: Validate,
    folder: Path,
    budget: Budget,
    total: int | None,
    tracker: Tracker | None = None,
) -> None:
    """Trains to the end of the budget; checks and saves where `is_check` says so.

    Interrupted anywhere it leaves a folder that can be taken up: `last` is written whole, after all that it
    stands for.

    Args:
        tracker: is told of every check.

    Raises:
        DataError: another training is in the folder.
        TrainingError: the loss or a figure is no number any more.
        CheckpointError: what is there is damaged.
    """
    last = folder / checkpoint.LAST
    if _ended(last, budget, total):
        return
    with owned(folder, "another training"):
        taken_up = last.exists()
        if taken_up:
            learner.restore(*load_tensors(last, checkpoint.COMMAND))
        _cut_log(folder / checkpoint.LOG, learner.iteration if taken_up else -1)
        stream = islice(iter(batches), learner.iteration, None)
        with _bar(learner, budget, total, folder.name) as bar:
            if not taken_up:
                _show(bar, _check(learner, validate, folder, tracker))
            while not budget.spent(learner.iteration, learner.saved, total):
                fraction = budget.fraction(learner.iteration, learner.clock.seconds(), total)
                learner.step(next(stream), fraction)
                bar.update(_done(learner, budget) - bar.n)
                if is_check(learner.iteration) or learner.iteration == total:
                    _show(bar, _check(learner, validate, folder, tracker))


def _ended(last: Path, budget: Budget, total: int | None) -> bool:
    """Whether the training there has used its budget, whatever version ended it."""
    if not last.exists():
        return False
    about = load_tensors(last, checkpoint.COMMAND)[1]
    iteration, seconds = (_noted(about, name, last) for name in ("iteration", "seconds"))
    return budget.spent(int(iteration), seconds, total)


def _noted(about: Mapping[str, Any], name: str, path: Path) -> float:
    """A number that is noted with weights; raises CheckpointError where it is none."""
    value = about.get(name)
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise CheckpointError(
            f"expected {name} of a training in {path}, found {one_line(value)}; move it away and run "
            f"`{checkpoint.COMMAND}` again"
        )
    return value


def _bar(learner: Trainer, budget: Budget, total: int | None, title: str) -> Progress[None]:
    """Of iterations; where time decides, of seconds."""
    unit, whole = ("it", total) if budget.minutes is None else ("s", math.ceil(60 * budget.minutes))
    return progress_bar(desc=title, total=whole, initial=_done(learner, budget), unit=unit)


def _done(learner: Trainer, budget: Budget) -> int:
    if budget.minutes is None:
        return learner.iteration
    return math.floor(min(learner.clock.seconds(), 60 * budget.minutes))


def _show(bar: Progress[None], line: Mapping[str, Any]) -> None:
    accuracy = f"{100 * line['accuracy']:.1f}%"
    bar.set_postfix(iteration=str(line["iteration"]), nll=f"{line['nll']:.3f}", accuracy=accuracy)


def _check(
    learner: Trainer, validate: Validate, folder: Path, tracker: Tracker | None = None
) -> dict[str, Any]:
    """Validation, one line of the log, and the files; `last` is written after all that it stands for."""
    figures, about = validate(learner.average)
    line = {
        "iteration": learner.iteration,
        "seconds": round(learner.clock.seconds(), 3),
        **figures,
        **learner.terms,
    }
    if not all(math.isfinite(value) for value in _metrics(line).values()):
        _refuse_divergence(learner, line, folder)
    missed = missed_by(figures, learner.recipe.select)
    if missed < learner.best:
        learner.best = missed
        save_tensors(folder / checkpoint.MODEL, learner.average.state_dict(), {**line, **about})
    with (folder / checkpoint.LOG).open("a") as log:
        log.write(log_text([line]))
    save_tensors(folder / checkpoint.LAST, *learner.state())
    if tracker is not None:
        tracker.log(_metrics(line), learner.iteration)
    return line


def _refuse_divergence(learner: Trainer, line: Mapping[str, Any], folder: Path) -> NoReturn:
    """Ends a training whose figures are no numbers any more; weights that have learned nothing go."""
    wrong = ", ".join(name for name, value in _metrics(line).items() if not math.isfinite(value))
    if not _has_learned(folder):
        (folder / checkpoint.MODEL).unlink(missing_ok=True)
    raise TrainingError(
        f"expected finite figures, found none of {wrong} after iteration {learner.iteration}: the training "
        f"in {folder} has diverged; train with a smaller --learning-rate, under another --name"
    )


def _has_learned(folder: Path) -> bool:
    """Whether the weights that are kept are of a later iteration than the first."""
    path = folder / checkpoint.MODEL
    return path.exists() and _noted(load_tensors(path, checkpoint.COMMAND)[1], "iteration", path) > 0


def _metrics(line: Mapping[str, Any]) -> dict[str, float]:
    """What of a line of the log is one number, but for the iteration."""
    return {name: v for name, v in line.items() if isinstance(v, (int, float)) and name != "iteration"}


def _cut_log(path: Path, iteration: int) -> None:
    """Drops the lines after `iteration`: what was logged but not saved is done again."""
    if path.exists():
        write_text(path, log_text([line for line in read_log(path) if line["iteration"] <= iteration]))


def log_text(lines: Iterable[Mapping[str, Any]]) -> str:
    """Lines of log.jsonl."""
    return "".join(json.dumps(line) + "\n" for line in lines)


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of log.jsonl; a half-written last line is left out.

    Raises:
        CheckpointError: a line before the last is damaged.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            values = parse_json(line)
            if not isinstance(values, dict) or not all(_is_figure(values.get(name)) for name in FIGURES):
                raise ValueError(f"no {', '.join(FIGURES)}")
        except ValueError as error:
            if number == len(lines):
                return
            raise CheckpointError(
                f"expected a check of the training in line {number} of {path}, found damage ({error}); bring "
                "back a copy, or train again"
            ) from None
        yield values


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def require_seed(seed: int) -> None:
    """Raises SettingsError for a seed that not all generators take."""
    if not 0 <= seed < LARGEST_SEED:
        raise SettingsError(f"expected a seed from 0 to {LARGEST_SEED - 1}, found {seed}")
