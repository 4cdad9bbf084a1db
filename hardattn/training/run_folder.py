"""The folder of a training run: opened once, filled check by check, taken up where it was left."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from data.errors import CheckpointError, SettingsError, TrainingError, UnfinishedError, one_line
from data.files import write_json, write_text
from data.logs import append, log_text, metrics_of, read_log
from data.owner import owned
from data.progress import Lines, Progress, progress_bar
from data.tensors import load_tensors, save_tensors
from data.tracking.following import Tell, following
from data.tracking.tracker import Tracker as Tracker
from data.version import SOFTWARE
from hardattn.training import checkpoint
from hardattn.training.budget import Budget, TimeLimit, is_check
from hardattn.training.convergence import missed_by
from hardattn.training.settings import RunFile, RunSettings, read_run
from hardattn.training.trainer import Trainer
from supervision.batches import Batch

LARGEST_SEED = 2**31
TESTED_ON = ("canvas_seed",)  # opens other test images, which no fingerprint of training knows
Validate = Callable[[Any], tuple[dict[str, Any], dict[str, Any]]]
"""A network -> its figures on the validation images, and what is noted with its weights."""


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
        DataError: another training has the folder.
    """
    path = folder / checkpoint.RUN
    if not path.exists():
        with owned(folder, "another training"):
            if not path.exists():
                noted = RunFile(settings.to_json(), SOFTWARE, opened_with or {}, imitated, command)
                write_json(path, noted.to_json())
    checkpoint.require_same(path, settings.to_json(), _completed(read_run(folder).settings, settings))


def require_tested_on(folder: Path, opened_with: Mapping[str, Any]) -> None:
    """Raises CheckpointError where a run is there that is tested on other images than are asked for now."""
    if (folder / checkpoint.RUN).exists():
        kept = read_run(folder).opened_with
        checkpoint.require_same(folder / checkpoint.RUN, _tested_on(opened_with), _tested_on(kept))


def _tested_on(opened_with: Mapping[str, Any]) -> dict[str, Any]:
    return {name: opened_with.get(name) or 0 for name in TESTED_ON}


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
    tracker: Tracker | str | None = None,
    limit: TimeLimit | None = None,
) -> None:
    """Trains to the end of the budget; checks and saves where `is_check` says so.

    Interrupted anywhere it leaves a folder that can be taken up: `last` is written whole, after all that it
    stands for. Where several processes train together the first one validates, writes and shows for all, and
    its clock and its files decide.

    Args:
        tracker: is told of every check, see `data.tracking.following`.
        limit: after which it is left, for another call to take up; it does one iteration at least.

    Raises:
        DataError: another training is in the folder.
        UnfinishedError: the limit was reached; its state is saved.
        TrainingError: the loss or a figure is no number any more.
        CheckpointError: what is there is damaged.
    """
    last, division, learner.total = folder / checkpoint.LAST, learner.division, total
    if division.agreed(_ended(folder, budget, total, learner.recipe.select)):
        if division.first:
            _tell_the_rest(tracker, folder)
        return
    with ExitStack() as held:
        division.by_first(lambda: held.enter_context(owned(folder, "another training")))
        taken_up = bool(division.agreed(last.exists()))
        if taken_up:
            learner.restore(*load_tensors(last, checkpoint.COMMAND))
        division.by_first(lambda: _cut_log(folder / checkpoint.LOG, learner.iteration if taken_up else -1))
        stream, began = islice(iter(batches), learner.iteration, None), learner.iteration
        tell = held.enter_context(_followed(tracker if division.first else None, folder))
        bar = held.enter_context(_bar(learner, budget, total, folder.name))
        if not taken_up:
            _checked(bar, learner, validate, folder, total, tell)
        while not _is_over(learner, budget, total, folder):
            fraction = _fraction(learner, budget, total)
            if fraction == 1 and budget.minutes is not None:
                learner.total = learner.iteration + 1  # the last, which is checked, so that it is kept
            elif limit is not None and learner.iteration > began and division.agreed(limit.is_reached()):
                _leave(learner, folder, total, limit)
            learner.step(next(stream), fraction)
            bar.update(_done(learner, budget) - bar.n)
            if learner.is_due:
                _checked(bar, learner, validate, folder, total, tell)


def _is_over(learner: Trainer, budget: Budget, total: int | None, folder: Path) -> bool:
    """Whether the budget is used, or the last checks have made nothing better."""
    if budget.spent(learner.iteration, learner.saved, total):
        return True
    if budget.patience is None or not is_check(learner.iteration):
        return False
    division, log = learner.division, folder / checkpoint.LOG
    tired = division.first and budget.out_of_patience(list(read_log(log)), learner.recipe.select)
    return bool(division.agreed(tired))


def _leave(learner: Trainer, folder: Path, total: int | None, limit: TimeLimit) -> NoReturn:
    """Ends this call: what is done is saved, also between two checks."""
    learner.division.by_first(lambda: _save(learner, folder, total))
    raise UnfinishedError(
        f"the time limit of {limit.minutes:g} minutes is reached after {learner.iteration} iterations, which "
        f"{folder} has; the same command takes it up again"
    )


def _ended(folder: Path, budget: Budget, total: int | None, select: str) -> bool:
    """Whether the training there is over, whatever version ended it."""
    last = folder / checkpoint.LAST
    if not last.exists():
        return False
    about = load_tensors(last, checkpoint.COMMAND)[1]
    iteration, seconds = (_noted(about, name, last) for name in ("iteration", "seconds"))
    if budget.spent(int(iteration), seconds, total):
        return True
    checks = [line for line in read_log(folder / checkpoint.LOG) if line["iteration"] <= iteration]
    return budget.out_of_patience(checks, select)


def _followed(tracker: Tracker | str | None, folder: Path) -> AbstractContextManager[Tell]:
    """The tracker knows the log of the run, and what run.json says."""
    return following(tracker, folder / checkpoint.LOG, lambda: read_run(folder).settings)


def _tell_the_rest(tracker: Tracker | str | None, folder: Path) -> None:
    """A tracker that keeps runs is told of a training that has ended what it does not know of it."""
    if isinstance(tracker, str):
        with owned(folder, "another training"), _followed(tracker, folder):
            pass  # at its end


def _fraction(learner: Trainer, budget: Budget, total: int | None) -> float:
    """How much of the budget is used, for all processes: they have one clock where time decides."""
    seconds = learner.clock.seconds()
    if budget.minutes is not None:
        seconds = learner.division.agreed(seconds)
    return budget.fraction(learner.iteration, seconds, total)


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
    """Of iterations; where time decides, of seconds; shown by one process."""
    unit, whole = ("it", total) if budget.minutes is None else ("s", math.ceil(60 * budget.minutes))
    if not learner.division.first:
        return Lines(desc=title, stream=io.StringIO())
    return progress_bar(desc=title, total=whole, initial=_done(learner, budget), unit=unit)


def _done(learner: Trainer, budget: Budget) -> int:
    if budget.minutes is None:
        return learner.iteration
    return math.floor(min(learner.clock.seconds(), 60 * budget.minutes))


def _show(bar: Progress[None], line: Mapping[str, Any]) -> None:
    accuracy = f"{100 * line['accuracy']:.1f}%"
    bar.set_postfix(iteration=str(line["iteration"]), nll=f"{line['nll']:.3f}", accuracy=accuracy)


def _checked(
    bar: Progress[None], learner: Trainer, validate: Validate, folder: Path, total: int | None, tell: Tell
) -> None:
    """`_check` by the first process, shown; whether the budget is spent all decide by its clock."""
    line = learner.division.by_first(lambda: _check(learner, validate, folder, total, tell))
    learner.saved = learner.division.agreed(learner.saved)
    if line is not None:
        _show(bar, line)


def _check(
    learner: Trainer, validate: Validate, folder: Path, total: int | None, tell: Tell
) -> dict[str, Any]:
    """Validation, one line of the log, and the files; `last` is written after all that it stands for."""
    figures, about = validate(learner.average)
    line = {
        "iteration": learner.iteration,
        "seconds": round(learner.clock.seconds(), 3),
        **figures,
        **learner.terms,
    }
    if not all(math.isfinite(value) for value in metrics_of(line).values()):
        _refuse_divergence(learner, line, folder)
    missed = missed_by(figures, learner.recipe.select)
    if missed < learner.best:
        learner.best = missed
        save_tensors(folder / checkpoint.MODEL, learner.average.state_dict(), {**line, **about})
    append(folder / checkpoint.LOG, [line])
    _save(learner, folder, total)
    tell()
    return line


def _save(learner: Trainer, folder: Path, total: int | None) -> None:
    """The state from which the training goes on, and the iterations of the whole, where they are known."""
    tensors, about = learner.state()
    save_tensors(folder / checkpoint.LAST, tensors, about | {"total": total})


def _refuse_divergence(learner: Trainer, line: Mapping[str, Any], folder: Path) -> NoReturn:
    """Ends a training whose figures are no numbers any more; weights that have learned nothing go."""
    wrong = ", ".join(name for name, value in metrics_of(line).items() if not math.isfinite(value))
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


def _cut_log(path: Path, iteration: int) -> None:
    """Drops the lines after `iteration`: what was logged but not saved is done again."""
    if path.exists():
        write_text(path, log_text([line for line in read_log(path) if line["iteration"] <= iteration]))


def require_seed(seed: int) -> None:
    """Raises SettingsError for a seed that not all generators take."""
    if not 0 <= seed < LARGEST_SEED:
        raise SettingsError(f"expected a seed from 0 to {LARGEST_SEED - 1}, found {seed}")
