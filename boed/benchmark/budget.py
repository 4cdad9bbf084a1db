"""How much can be learned and tried in the time there is: measured on this machine before a fit begins."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from boed.approximations import Approximations
from boed.combination import Combination
from boed.completions.registry import COMPLETIONS
from boed.estimators.registry import ESTIMATORS
from boed.fitting.augmentation import Augmentation
from boed.fitting.fit import seeded_apart
from boed.fitting.posterior_fit import ROUNDS, informed
from boed.fitting.training import train_posterior
from boed.posteriors.registry import POSTERIORS
from boed.saved import TaskFacts
from boed.search.codebook import partition
from boed.search.designer import Designer, History
from boed.settings import FittedSettings
from data.dataset import DataSet
from data.files import write_json

FILE = "budget.json"
LEARNING, TRYING = 0.4, 0.2  # of the time, for all trainings and for all estimates on trial images
WARM_ITERATIONS, TRIAL_ITERATIONS, TRIAL_IMAGES = 8, 24, 2  # what is not timed yet, and what is
FEWEST_IMAGES = 8  # that an estimate is made from
LEARNED = "glimpse-set"  # whose iterations are timed where q itself is not learned
COSTS = {"posterior": 1.0, "gaussian": 0.0, "proposals": 0.0, "cvae": 1.0, "amortised": 3.0}
"""Of an iteration of each training, in those of q."""
WEIGHTS = {"avp-cnn": 5, "glimpse-set": 3, "exact": 2}  # of the time, where posteriors share it


@dataclass(frozen=True)
class Budget:
    """Settings of a fit that take time.

    Attributes:
        iterations: of each training.
        trial_images: see `boed.settings.FitSettings`.
    """

    iterations: int
    trial_images: int


def shared_out(posteriors: Sequence[str], processes: int, seconds: float) -> list[dict[str, float]]:
    """Which posteriors each process has, one after the other, and the seconds of each.

    The dearest first, each where least is to be done; those of one process share its time by their cost.

    >>> shared_out(["glimpse-set", "avp-cnn", "exact"], 2, 60.0)
    [{'avp-cnn': 60.0}, {'glimpse-set': 36.0, 'exact': 24.0}]
    """
    cost = {name: WEIGHTS.get(name, max(WEIGHTS.values())) for name in posteriors}
    shares: list[list[str]] = [[] for _ in range(min(processes, len(cost)))]
    for name in sorted(cost, key=lambda each: -cost[each]):
        min(shares, key=lambda share: sum(cost[each] for each in share)).append(name)
    return [{name: seconds * cost[name] / sum(cost[each] for each in own) for name in own} for own in shares]


def kept_budget(
    dataset: DataSet, folder: Path, rows: Sequence[Combination], settings: FittedSettings, seconds: float
) -> Budget:
    """The budget of a fit in `folder`; made once, for an interrupted fit is taken up with the same.

    Args:
        dataset: to be fitted on.
        folder: of the fit.
        rows: combinations of one posterior.
        settings: of the fit; its iterations are the most there will be.
        seconds: for all rows.
    """
    path = folder / FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(_budget(dataset, rows, settings, seconds)))
    return Budget(**json.loads(path.read_text()))


def _budget(
    dataset: DataSet, rows: Sequence[Combination], settings: FittedSettings, seconds: float
) -> Budget:
    """From the seconds of one iteration of a q, which those of the other trainings do not exceed."""
    timed = replace(settings, posterior=LEARNED) if POSTERIORS[settings.posterior].exact else settings
    with seeded_apart(), TemporaryDirectory() as kept:
        learned, per_iteration = _timed_training(dataset, timed, Path(kept))
        per_map = _seconds_of_map(learned)
    estimates = ROUNDS + 1 + len(rows)  # the one is the calibration
    iterations = LEARNING * seconds / (_cost_of_trainings(rows) * per_iteration)
    images = TRYING * seconds / (estimates * settings.glimpses * per_map)
    return Budget(max(1, min(settings.iterations, int(iterations))), max(FEWEST_IMAGES, int(images)))


def _cost_of_trainings(rows: Sequence[Combination]) -> float:
    """Of an iteration of all that is trained for these rows.

    >>> both = [Combination(), Combination(completion="cvae", score="entropy")]
    >>> _cost_of_trainings(both) - _cost_of_trainings(both[:1])
    1.0
    """
    names = ["posterior", *{row.completion for row in rows if COMPLETIONS[row.completion].fit is not None}]
    networks = {(row.estimator, row.score) for row in rows if ESTIMATORS[row.estimator].fit is not None}
    return sum(COSTS.get(name, max(COSTS.values())) for name in [*names, *(name for name, _ in networks)])


def _timed_training(dataset: DataSet, settings: FittedSettings, folder: Path) -> tuple[Approximations, float]:
    """Approximations with a q of a few iterations at random places, and the seconds of an iteration."""
    train, facts = dataset["train"], TaskFacts.of(dataset)
    rows, bank = partition(train, settings.seed)
    places = dataset.geometry.grid().locations
    kind = POSTERIORS[settings.posterior]
    q = kind.new(dataset.geometry, settings, places, classes=facts.classes, attributes=1)
    proposal = torch.full((1, len(places)), 1 / len(places))
    spent = 0.0
    for number, iterations in enumerate((WARM_ITERATIONS, TRIAL_ITERATIONS)):
        start = time.monotonic()
        train_posterior(
            q,
            train,
            rows,
            dataset.geometry,
            informed(proposal, places, settings.glimpses),
            iterations=iterations,
            seed=settings.seed,
            state=folder / f"state-{number}.safetensors",
            task={},
            title="time q",
            augmentation=Augmentation(dataset.geometry, jitter=False, mirror=False),
        )
        spent = time.monotonic() - start
    return Approximations(q, train.take(bank), places, dataset.geometry, settings), spent / TRIAL_ITERATIONS


@torch.no_grad()
def _seconds_of_map(learned: Approximations) -> float:
    """Of the map of one image by which weights are estimated."""
    rows = torch.arange(TRIAL_IMAGES)
    excluded = learned.versions(learned.bank, rows)
    history = History(Designer(learned), learned.bank, rows, seed=0, excluded=excluded)
    history.look(rows)
    start = time.monotonic()
    history.own_map()
    return (time.monotonic() - start) / TRIAL_IMAGES
