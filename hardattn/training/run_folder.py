"""The folder of a training run: opened once, filled check by check, taken up where it was left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data.errors import SettingsError
from data.files import write_json, write_text
from data.tensors import load_tensors, save_tensors
from data.version import SOFTWARE
from hardattn.training import checkpoint
from hardattn.training.budget import Budget, is_check
from hardattn.training.trainer import Trainer
from supervision.batches import Batch

LARGEST_SEED = 2**31
Validate = Callable[[Any], tuple[dict[str, Any], dict[str, Any]]]
"""A network -> its figures on the validation images, and what is noted with its weights."""


def open_run(
    folder: Path,
    settings: dict[str, Any],
    opened_with: dict[str, Any],
    imitated: dict[str, Any] | None = None,
) -> None:
    """Writes run.json, or checks that the one that is there is of the same run.

    Args:
        settings: what decides whether it is the same run.
        opened_with, imitated: where data set and sequences were found; noted, and not compared.
    """
    path = folder / checkpoint.RUN
    if path.exists():
        checkpoint.require_same(path, settings, checkpoint.read_json(path).get("settings", {}))
        return
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"software": SOFTWARE, "settings": settings, "opened_with": opened_with, "imitated": imitated}
    write_json(path, facts)


def run_to_the_end(
    learner: Trainer,
    batches: Iterable[Batch],
    validate: Validate,
    folder: Path,
    budget: Budget,
    total: int | None,
) -> None:
    """Trains to the end of the budget; checks and saves where `is_check` says so."""
    last = folder / checkpoint.LAST
    if last.exists():
        learner.restore(*load_tensors(last, checkpoint.COMMAND))
    _cut_log(folder / checkpoint.LOG, learner.iteration if last.exists() else -1)
    stream = islice(iter(batches), learner.iteration, None)
    with tqdm(total=total, initial=learner.iteration, desc=folder.name, unit="it", mininterval=1.0) as bar:
        if not last.exists():
            _check(learner, validate, folder, bar)
        while not budget.spent(learner.iteration, learner.saved, total):
            fraction = budget.fraction(learner.iteration, learner.clock.seconds(), total)
            learner.step(next(stream), fraction)
            bar.update()
            if is_check(learner.iteration) or learner.iteration == total:
                _check(learner, validate, folder, bar)


def _check(learner: Trainer, validate: Validate, folder: Path, bar: tqdm) -> None:
    """Validation, one line of the log, and the files; `last` is written after all that it stands for."""
    figures, about = validate(learner.average)
    line = {
        "iteration": learner.iteration,
        "seconds": round(learner.clock.seconds(), 3),
        **figures,
        **learner.terms,
    }
    if figures["nll"] < learner.best:
        learner.best = figures["nll"]
        save_tensors(folder / checkpoint.MODEL, learner.average.state_dict(), {**line, **about})
    with (folder / checkpoint.LOG).open("a") as log:
        log.write(json.dumps(line) + "\n")
    save_tensors(folder / checkpoint.LAST, *learner.state())
    bar.set_postfix(nll=f"{figures['nll']:.3f}", accuracy=f"{100 * figures['accuracy']:.1f}%")


def _cut_log(path: Path, iteration: int) -> None:
    """Drops the lines after `iteration`: what was logged but not saved is done again."""
    if path.exists():
        kept = [line for line in read_log(path) if line["iteration"] <= iteration]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of log.jsonl; a half-written last line is left out."""
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except ValueError:
            return


def require_seed(seed: int) -> None:
    """Raises SettingsError for a seed that not all generators take."""
    if not 0 <= seed < LARGEST_SEED:
        raise SettingsError(f"expected a seed from 0 to {LARGEST_SEED - 1}, found {seed}")
