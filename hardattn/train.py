"""Training: one call makes, or takes up, a run folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from data.dataset import DataSet, Split
from data.device import choose_device, fits, one_thread
from data.errors import SettingsError
from data.geometry import Geometry
from data.tensors import load_tensors, save_tensors
from hardattn import checkpoint
from hardattn.epe_head import learner_of, require_policy
from hardattn.guidance import (
    designed_gains,
    guided_images,
    guided_maps,
    require_everyone,
    supervision_settings,
)
from hardattn.learner import CHECK_EVERY, Budget, Validator
from hardattn.losses import step_weights
from hardattn.methods import METHODS, method_of, require_changes
from hardattn.network import HardAttention
from hardattn.recipe import Recipe
from hardattn.trainer import Trainer
from supervision.batches import Batch, MixedBatches
from supervision.store import SOFTWARE, SequenceStore

if TYPE_CHECKING:
    from hardattn.distillation import Teacher

LARGEST_SEED = 2**31
Validate = Callable[[Any], tuple[dict[str, Any], dict[str, Any]]]
"""A network -> its figures on the validation images, and what is noted with its weights."""


def train(
    dataset: DataSet,
    run_folder: Path,
    *,
    method: str | None = None,
    store: SequenceStore | None = None,
    geometry: Geometry | None = None,
    glimpses: int | None = None,
    supervised_images: int | None = None,
    teacher: Teacher | None = None,
    budget: Budget | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    device: str = "auto",
    opened_with: dict[str, Any] | None = None,
    **chosen: Any,
) -> Path:
    """Trains a network into `run_folder`, or takes up the run that is there; returns the folder.

    An interrupted run goes on from its last multiple of 100 iterations, and on the CPU ends with the same
    weights as one that was never stopped (with a budget in iterations, not in minutes).

    Args:
        dataset: its train and valid splits are used, and the design split with a store of its images.
        run_folder: gets run.json, log.jsonl, last.safetensors, and model.safetensors (the best so far by
            the negative log-likelihood of the validation labels).
        method: a name of `hardattn.methods.METHODS`; default ps-nogs with a store, else ram.
        store: sequences to imitate.
        geometry: glimpse and grid; default the store's, else the data set's.
        glimpses: T; default the data set's.
        supervised_images: how many of the store's images to use; default all.
        teacher: whose class probabilities are mixed into the labels of the training images; None: no one's.
        recipe: default the one that suits method and data set.
        opened_with: what `data.registry.load` was called with, kept for `evaluate`.
        chosen: fields of `Recipe` that are not as in `recipe`.

    Raises:
        SettingsError, StoreError, CheckpointError: before anything is written.
    """
    name = method_of(method, store is not None)
    suited = recipe or Recipe.suited(METHODS[name], symmetric=dataset.symmetric, aligned=dataset.aligned)
    needed = {field: getattr(METHODS[name], field) for field in ("supervised_share", "policy")}
    chosen = {field: value for field, value in needed.items() if value is not None} | chosen
    recipe, budget = replace(suited, **chosen), budget or Budget()
    require_changes(name, recipe.anneal_supervision, recipe.imitate_for)
    steps = dataset.glimpses if glimpses is None else glimpses
    require_seed(seed)
    step_weights(recipe.loss_at, steps)  # refuses weights of another number of glimpses
    geometry = geometry_for(dataset, store, geometry)
    require_glimpses(steps, geometry)
    require_policy(name, recipe.policy, steps - geometry.first_glance, len(geometry.grid()))
    task = checkpoint.describe(dataset, geometry)
    guided = guided_images(
        dataset, store, geometry, steps, supervised_images, recipe.policy, recipe.supervised_share == 1
    )
    if METHODS[name].then and guided:
        require_everyone(guided, dataset["train"])
    maps = None
    if store is not None and guided and "saliency" in METHODS[name].weights:
        maps = guided_maps(store, guided[0], geometry, steps, recipe.policy)
    gains = designed_gains(store, guided) if recipe.gain_target == "design" else None
    target = choose_device(device)
    settings = {
        **task,
        "method": name,
        "seed": seed,
        "glimpses": steps,
        "fingerprint": dataset.fingerprint("train", "valid"),
        "supervision": supervision_settings(store, guided),
        "distillation": teacher and teacher.settings(),
        "budget": asdict(budget),
        "recipe": asdict(recipe),
    }
    open_run(run_folder, settings, opened_with or {})
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), one_thread():
        torch.manual_seed(seed)
        network = build(settings).to(target)
        images = at_home(dataset["train"], target)
        batches = MixedBatches(
            images,
            steps,
            recipe.batch_size,
            supervised=guided and _beside(guided[0], dataset["train"], images),
            locations=guided and guided[1],
            maps=maps,
            gains=gains,
            supervised_share=recipe.supervised_share,
            seed=seed,
        )
        look = Validator(at_home(dataset["valid"], target), geometry, steps, METHODS[name].evaluation)
        told = [teacher.targets(split) for split in batches.pool.splits] if teacher else []
        targets = torch.cat(told) if told else None
        learner = learner_of(name)(network, METHODS[name], batches, geometry, recipe, seed, targets)
        total = budget.total(len(dataset["train"]), recipe.batch_size)
        run_to_the_end(learner, batches, look, run_folder, budget, total)
    return run_folder


def build(settings: dict[str, Any]) -> HardAttention:
    """The network of these settings, untrained."""
    geometry, recipe = Geometry(**settings["geometry"]), Recipe(**settings["recipe"])
    channels, _, _ = geometry.glimpse_shape()
    return HardAttention(channels, geometry.grid(), len(settings["classes"]), **recipe.network)


def require_glimpses(steps: int, geometry: Geometry) -> None:
    """Raises SettingsError for no glimpse, or none beside a first glance.

    >>> require_glimpses(2, Geometry(8, 8, 1, glimpse_size=4, first_glance=True))
    """
    least = 1 + geometry.first_glance
    if steps < least:
        after = ", one after the first glance" if geometry.first_glance else ""
        raise SettingsError(f"expected at least {least} glimpses{after}, found {steps}; set --glimpses")


def require_seed(seed: int) -> None:
    """Raises SettingsError for a seed that not all generators take."""
    if not 0 <= seed < LARGEST_SEED:
        raise SettingsError(f"expected a seed from 0 to {LARGEST_SEED - 1}, found {seed}")


def geometry_for(dataset: DataSet, store: SequenceStore | None, wanted: Geometry | None) -> Geometry:
    """The geometry to train with; the store's must be the wanted one, where both are given."""
    if store is None or "geometry" not in store.settings:
        geometry = wanted or dataset.geometry
    else:
        geometry = Geometry(**store.settings["geometry"])
        if wanted is not None:
            store.require({"geometry": wanted.to_json()})
    geometry.grid()  # refuses a glimpse larger than the image
    return geometry


def at_home(split: Split, device: torch.device) -> Split:
    """The split on the device where its images fit there, else as it is."""
    return split.to(device) if fits(split, device) else split


def _beside(guided: Split, train: Split, images: Split) -> Split:
    """The guided images where the training images are; these themselves, if they are the same."""
    return images if guided is train else guided.to(images.images.device)


def open_run(folder: Path, settings: dict[str, Any], opened_with: dict[str, Any]) -> None:
    """Writes run.json, or checks that the one that is there is of the same run."""
    path = folder / checkpoint.RUN
    if path.exists():
        checkpoint.require_same(path, settings, checkpoint.read_json(path).get("settings", {}))
        return
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.write_json(path, {"software": SOFTWARE, "settings": settings, "opened_with": opened_with})


def run_to_the_end(
    learner: Trainer,
    batches: Iterable[Batch],
    validate: Validate,
    folder: Path,
    budget: Budget,
    total: int | None,
) -> None:
    """Trains to the end of the budget; checks and saves every `CHECK_EVERY` iterations."""
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
            if learner.iteration % CHECK_EVERY == 0 or learner.iteration == total:
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
        beside = path.with_name(path.name + ".new")
        beside.write_text("".join(json.dumps(line) + "\n" for line in kept))
        beside.replace(path)


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of log.jsonl; a half-written last line is left out."""
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except ValueError:
            return
