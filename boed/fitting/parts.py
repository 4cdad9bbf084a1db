"""The parts of a combination beside q: completion, estimator, adaptivity; each is learned into a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor, nn

from boed.approximations import Approximations
from boed.combination import Combination, require_sensor
from boed.completions.completion import BankedCompletion, CompletionTask
from boed.completions.registry import COMPLETIONS, CompletionKind
from boed.estimators.bank import Bank
from boed.estimators.calibration import Calibration, Levels
from boed.estimators.estimator import EstimatorTask
from boed.estimators.registry import ESTIMATORS, EstimatorKind
from boed.part_files import (
    WEIGHTS_BEFORE,
    WEIGHTS_NOW,
    adaptivity_file,
    completion_file,
    estimator_file,
    state_file,
)
from boed.search.adaptivity import Adaptivity, affordable, estimate_adaptivity, sample
from boed.search.balance import balanced, distinct
from boed.search.levels import set_levels
from data.dataset import Split
from data.device import at_device
from data.errors import CheckpointError, one_line
from data.files import parse_json
from data.stages import stage
from data.tensors import load_tensors

HELD_OUT, HELD_OUT_SHARE = 1000, 4  # images of the bank at most, and one in how many

Training = Callable[[], Split]
"""Opens the training images; raises CheckpointError where nothing is to be learned."""


Unseen = Callable[[], tuple[Bank, str] | None]
"""Labelled images of another split at all places, with its fingerprint, if there are any.

They set the level of what is predicted.
"""


def add_parts(
    learned: Approximations,
    combination: Combination,
    training: Training,
    folder: Path,
    unseen: Unseen = lambda: None,
) -> None:
    """Completes `learned`, which has q, to a combination: from files in `folder`, or learned into them."""
    require_sensor(combination, learned.geometry, learned.glimpses)
    learned.combination = combination
    completion, estimator = (
        COMPLETIONS.require(combination.completion),
        ESTIMATORS.require(combination.estimator),
    )
    if estimator.completes:
        _add_completion(learned, completion, training, folder)
    if estimator.new is not None:
        learned.estimator = _network(learned, estimator, training, folder)
    _add_adaptivity(learned, training, unseen, folder)


def nothing_learned(folder: Path) -> Training:
    """For `add_parts`, where all parts have to be in the folder."""

    def refuse() -> Split:
        if any(folder.glob(WEIGHTS_BEFORE)) and not any(folder.glob(WEIGHTS_NOW)):
            raise CheckpointError(
                f"expected weights and calibrations in {folder}, found the weights of a fit before 0.2, "
                f"{WEIGHTS_BEFORE}; run `boed fit` there with the same options, which estimates them anew"
            )
        raise CheckpointError(
            f"expected all parts of the combination in {folder}, found some missing; fit it there, or ask "
            "for the combination that was fitted"
        )

    return refuse


def _add_completion(learned: Approximations, kind: CompletionKind, training: Training, folder: Path) -> None:
    """From the bank, which may be another then, or made; what is learned is kept in the folder."""
    task = _completion_task(learned, folder)
    if kind.retrieve is not None:
        learned.retrieval = kind.retrieve(task)
        if learned.retrieval.bank is not learned.bank:
            learned.bank = learned.retrieval.bank
            learned.forget()
        return
    if kind.new is None or kind.fit is None:
        raise TypeError(f"{learned.combination.completion}: a completion needs retrieve, or fit and new")
    if task.path.exists():
        tensors, _ = load_tensors(task.path, "boed fit")
        learned.generator = kind.new(task, tensors)
        learned.generator.network.load_state_dict(tensors)
        learned.generator.network.eval().to(learned.places.device)
        return
    train = at_device(training(), learned.places.device)
    rows = (~torch.isin(train.ids, learned.bank.ids)).nonzero().view(-1)
    if learned.settings.balanced:
        rows = rows[balanced(train.labels[rows])]
    with stage("training of r"):
        learned.generator = kind.fit(task, train, rows)
    learned.save_network(task.path, learned.generator.network)
    task.state.unlink(missing_ok=True)


def _completion_task(learned: Approximations, folder: Path) -> CompletionTask:
    name, bank = completion_file(learned.combination), learned.combination.bank
    return CompletionTask(
        learned.bank,
        learned.places,
        learned.geometry,
        learned.settings,
        symmetric=learned.facts.symmetric,
        folder=None if bank is None else Path(bank),
        path=folder / name,
        state=folder / state_file(name),
    )


def _network(learned: Approximations, kind: EstimatorKind, training: Training, folder: Path) -> nn.Module:
    """Of the estimator, in evaluation mode."""
    path = folder / estimator_file(learned.combination)
    task = EstimatorTask(
        learned.embedded,
        _others(learned.bank, _held_out(learned)),
        learned.places,
        learned.geometry,
        learned.settings,
        learned.combination.score,
        learned.facts.symmetric,
        learned.facts.aligned,
        folder / state_file(path.name),
    )
    if kind.new is None or kind.fit is None:
        raise TypeError(f"{learned.combination.estimator}: an estimator with a network needs new and fit")
    torch.manual_seed(learned.settings.seed)
    network = kind.new(task).to(learned.places.device)
    if path.exists():
        _restore(network, path)
        return network.eval()
    training()  # refuses where nothing is to be learned
    with stage("training of the estimator"):
        kind.fit(network, task)
    learned.save_network(path, network)
    task.state.unlink(missing_ok=True)
    return network.eval()


def _restore(network: nn.Module, path: Path) -> None:
    """Gives an estimator its weights; raises CheckpointError where they are another network's."""
    try:
        network.load_state_dict(load_tensors(path, "boed fit")[0])
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"expected weights of this {type(network).__name__} in {path}, found others, as of an earlier "
            f"version ({reason}); move that file away and run `boed fit` again, which keeps all else"
        ) from None


def _add_adaptivity(learned: Approximations, training: Training, unseen: Unseen, folder: Path) -> None:
    """Read, or estimated; what is exact needs no shrinkage."""
    path = folder / adaptivity_file(learned.combination)
    if learned.combination.exact:
        learned.weights, learned.calibrations = (1.0,) * learned.glimpses, (Calibration(),) * learned.glimpses
    elif path.exists():
        _read_adaptivity(learned, path)
    else:
        training()  # refuses where nothing is to be learned
        adaptivity = _estimated(learned, learned.settings.seed)
        learned.weights, learned.calibrations = adaptivity.weights, adaptivity.calibrations
        others = unseen()
        if others is not None:
            with stage("levels"):
                set_levels(learned, *others)
        learned.save_adaptivity(path)


def _read_adaptivity(learned: Approximations, path: Path) -> None:
    try:
        kept, steps = parse_json(path.read_bytes()), learned.glimpses
        reads = [Calibration(**each) for each in kept["calibrations"]]
        levels = kept.get("levels", {})  # fits of a development version have none
        weights, shifts = _numbers(kept["weights"], steps), levels.get("shifts", ())
        if len(reads) != steps:
            raise ValueError(f"{len(reads)} calibrations of {steps} glimpses")
        learned.weights = weights
        learned.calibrations = tuple(Calibration(*_numbers(read, len(read))) for read in reads)
        learned.levels = Levels(_numbers(shifts, steps) if len(shifts) else (), levels.get("split", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"expected weights and calibrations in {path}, found it damaged ({error}); move it away and run "
            "`boed fit` again"
        ) from None


def _numbers(values: Sequence[object], count: int) -> tuple[float, ...]:
    """So many finite numbers, as a file should have them."""
    numbers = tuple(float(value) for value in values if isinstance(value, int | float) and isfinite(value))
    if not len(numbers) == len(values) == count:
        raise ValueError(f"{one_line(values)} instead of {count} finite numbers")
    return numbers


@stage("weights of own maps")
def _estimated(learned: Approximations, seed: int) -> Adaptivity:
    """Estimated on bank images, of which nothing else knows: an image would explain itself.

    An estimator has not learned from them, and completions do not find any of them.
    """
    if learned.estimator is not None:
        return estimate_adaptivity(learned, seed, rows=_held_out(learned))
    generator = learned.generator
    if not isinstance(generator, BankedCompletion) or generator.bank is not learned.bank:
        return estimate_adaptivity(learned, seed)
    count = affordable(learned, len(learned.bank) // 2)
    rows = sample(len(learned.bank), count, learned.places.device)
    if learned.settings.balanced:
        rows = distinct(learned.bank, count, one_in=2)
    with generator.without(learned.versions(learned.bank, rows).any(0).nonzero().view(-1)):
        return estimate_adaptivity(learned, seed, rows=rows)


def _held_out(learned: Approximations) -> Tensor:
    """(M',) bank images that an estimator does not learn from: the weight of its map is chosen on them."""
    wanted = min(HELD_OUT, len(learned.bank) // HELD_OUT_SHARE, learned.settings.trial_images or HELD_OUT)
    if learned.settings.balanced:
        return distinct(learned.bank, wanted, one_in=HELD_OUT_SHARE)
    return sample(len(learned.bank), max(1, wanted), learned.places.device)


def _others(bank: Split, rows: Tensor) -> Tensor:
    """(M',) bank images that are neither the images `rows` nor other versions of them."""
    known = torch.isin(bank.originals, bank.originals[rows.cpu()])
    return (~known).nonzero().view(-1).to(rows.device)
