"""Training: one call makes, or takes up, a run folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from data.dataset import DataSet, Split
from data.device import choose_device, fits, one_thread
from data.errors import SettingsError
from data.geometry import Geometry
from data.tensors import load_tensors, save_tensors
from hardattn import checkpoint
from hardattn.learner import CHECK_EVERY, Budget, Learner, Recipe, Validator
from hardattn.methods import METHODS, method_of
from hardattn.network import HardAttention
from supervision.batches import MixedBatches, supervised_split
from supervision.store import SOFTWARE, SequenceStore

LARGEST_SEED = 2**31


def train(
    dataset: DataSet,
    run_folder: Path,
    *,
    method: str | None = None,
    store: SequenceStore | None = None,
    geometry: Geometry | None = None,
    glimpses: int | None = None,
    supervised_images: int | None = None,
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
        dataset: its train and valid splits are used, and the design split with a store.
        run_folder: gets run.json, log.jsonl, last.safetensors, and model.safetensors (the best so far by
            the negative log-likelihood of the validation labels).
        method: a name of `hardattn.methods.METHODS`; default ps-nogs with a store, else ram.
        store: sequences to imitate.
        geometry: glimpse and grid; default the store's, else the data set's.
        glimpses: T; default the data set's.
        supervised_images: how many of the store's images to use; default all.
        recipe: default the one that suits method and data set.
        opened_with: what `data.registry.load` was called with, kept for `evaluate`.
        chosen: fields of `Recipe` that are not as in `recipe`.

    Raises:
        SettingsError, StoreError, CheckpointError: before anything is written.
    """
    name = method_of(method, store is not None)
    suited = recipe or Recipe.suited(METHODS[name], symmetric=dataset.symmetric, aligned=dataset.aligned)
    recipe, budget = replace(suited, **chosen), budget or Budget()
    steps = dataset.glimpses if glimpses is None else glimpses
    if steps < 1:
        raise SettingsError(f"expected at least 1 glimpse, found {steps}; set --glimpses")
    if not 0 <= seed < LARGEST_SEED:
        raise SettingsError(f"expected a seed from 0 to {LARGEST_SEED - 1}, found {seed}")
    geometry = geometry_for(dataset, store, geometry)
    task = checkpoint.describe(dataset, geometry)
    guided = _guided(dataset, store, task, steps, supervised_images)
    target = choose_device(device)
    settings = {
        **task,
        "method": name,
        "seed": seed,
        "glimpses": steps,
        "fingerprint": dataset.fingerprint("train", "valid"),
        "supervision": _supervision(store, guided),
        "budget": asdict(budget),
        "recipe": asdict(recipe),
    }
    _open_run(run_folder, settings, opened_with or {})
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), one_thread():
        torch.manual_seed(seed)
        network = build(settings).to(target)
        images = at_home(dataset["train"], target)
        batches = MixedBatches(
            images,
            steps,
            recipe.batch_size,
            supervised=guided[0].to(images.images.device) if guided else None,
            locations=guided[1] if guided else None,
            supervised_share=recipe.supervised_share,
            seed=seed,
        )
        look = Validator(at_home(dataset["valid"], target), geometry, steps, METHODS[name].evaluation)
        learner = Learner(network, METHODS[name], batches, geometry, recipe, seed)
        _loop(
            learner, batches, look, run_folder, budget, budget.total(len(dataset["train"]), recipe.batch_size)
        )
    return run_folder


def build(settings: dict[str, Any]) -> HardAttention:
    """The network of these settings, untrained."""
    geometry, recipe = Geometry(**settings["geometry"]), Recipe(**settings["recipe"])
    channels, _, _ = geometry.glimpse_shape()
    return HardAttention(channels, geometry.grid(), len(settings["classes"]), **recipe.network)


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


def _guided(
    dataset: DataSet, store: SequenceStore | None, task: dict[str, Any], steps: int, count: int | None
) -> tuple[Split, Tensor] | None:
    """Supervised images and their locations (M, T, 2), checked against the task."""
    if store is None:
        if count is not None:
            raise SettingsError(
                "expected --supervise with --supervised-images, found none; add it or leave both out"
            )
        return None
    if count is not None and count < 1:
        raise SettingsError(f"expected at least 1 supervised image, found {count}")
    part = "design" if _is_of(store, dataset, "design") or not _is_of(store, dataset, "train") else "train"
    expected = {
        "dataset": task["dataset"],
        "target": task["target"],
        "fingerprint": dataset[part].fingerprint,
    }
    store.require({name: value for name, value in expected.items() if name in store.settings})
    split, locations = supervised_split(store, dataset[part], steps)
    locations = locations[:count]
    Geometry(**task["geometry"]).grid().index(locations)  # refuses locations off the grid
    return split.take(torch.arange(len(locations))), locations


def _is_of(store: SequenceStore, dataset: DataSet, part: str) -> bool:
    """Whether the sequences are of the images of this split."""
    return bool(store.settings.get("fingerprint") == dataset[part].fingerprint)


def _supervision(store: SequenceStore | None, guided: tuple[Split, Tensor] | None) -> dict[str, Any] | None:
    if store is None or guided is None:
        return None
    total = int((guided[1].flatten() * torch.arange(1, guided[1].numel() + 1)).sum())
    return {"images": len(guided[0]), "checksum": total, "settings": store.settings}


def _open_run(folder: Path, settings: dict[str, Any], opened_with: dict[str, Any]) -> None:
    """Writes run.json, or checks that the one that is there is of the same run."""
    path = folder / checkpoint.RUN
    if path.exists():
        checkpoint.require_same(path, settings, checkpoint.read_json(path).get("settings", {}))
        return
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.write_json(path, {"software": SOFTWARE, "settings": settings, "opened_with": opened_with})


def _loop(
    learner: Learner,
    batches: MixedBatches,
    validate: Validator,
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
        while not budget.spent(learner.iteration, learner.clock.seconds(), total):
            fraction = budget.fraction(learner.iteration, learner.clock.seconds(), total)
            learner.step(next(stream), fraction)
            bar.update()
            if learner.iteration % CHECK_EVERY == 0 or learner.iteration == total:
                _check(learner, validate, folder, bar)


def _check(learner: Learner, validate: Validator, folder: Path, bar: tqdm) -> None:
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
