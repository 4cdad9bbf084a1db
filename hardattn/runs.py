"""Training: one call makes, or takes up, a run folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from data.dataset import DataSet, Split
from data.device import at_home, choose_device, one_thread
from data.errors import SettingsError
from data.geometry import Geometry
from data.tracking.registry import require_tracker
from hardattn.distillation import Teacher
from hardattn.loading import build
from hardattn.objectives.losses import step_weights
from hardattn.objectives.methods import method_of, require_policy
from hardattn.objectives.registry import METHODS
from hardattn.training.budget import Budget, TimeLimit
from hardattn.training.compilation import require_compiler
from hardattn.training.distributed import Division
from hardattn.training.geometries import geometry_of, require_glimpses
from hardattn.training.guidance import (
    Guided,
    designed_gains,
    guided_images,
    guided_maps,
    require_everyone,
    supervision_settings,
)
from hardattn.training.learner import Validator
from hardattn.training.recipe import Recipe, implied, require_balanced, require_sides, require_used
from hardattn.training.registry import LEARNERS
from hardattn.training.run_folder import Tracker, open_run, require_seed, run_to_the_end
from hardattn.training.settings import NetworkSettings, task_of
from hardattn.training.trainer import require_precision
from hardattn.warm_start import LearnedFeatures, pretrained_encoder
from supervision.batches import MixedBatches, sizes
from supervision.source import SequenceSource


def train(
    dataset: DataSet,
    run_folder: Path,
    *,
    method: str | None = None,
    store: SequenceSource | None = None,
    geometry: Geometry | None = None,
    glimpses: int | None = None,
    supervised_images: int | None = None,
    teacher: Teacher | None = None,
    features: LearnedFeatures | None = None,
    magnification: float | None = None,
    budget: Budget | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    device: str = "auto",
    command: Sequence[str] | None = None,
    tracker: Tracker | str | None = None,
    time_limit: TimeLimit | None = None,
    compile_step: bool = False,
    accumulate: int = 1,
    precision: str = "auto",
    **chosen: Any,
) -> Path:
    """Trains a network into `run_folder`, or takes up the run that is there; returns the folder.

    An interrupted run goes on from its last multiple of 100 iterations, and on the CPU ends with the same
    weights as one that was never stopped (with a budget in iterations, not in minutes). Generators, threads
    and all else of the process are as before, also after an interrupt.

    Args:
        dataset: its train and valid splits are used, and the design split with a store of its images.
        run_folder: gets run.json, log.jsonl, last.safetensors, and model.safetensors (the best so far by
            the negative log-likelihood of the validation labels).
        method: a name of `hardattn.objectives.registry.METHODS`; default ps-nogs with a store, else ram.
        store: sequences to imitate.
        geometry: glimpse and grid; default the store's, else the data set's.
        glimpses: T; default the method's, else the data set's.
        supervised_images: how many of the store's images to use; default all.
        teacher: whose class probabilities are mixed into the labels of the training images; None: no one's.
        features: what the encoder begins with, see `hardattn.warm_start`; None: it begins at random, or with
            the weights of a package, where it has some.
        magnification: of a method with affine crops, see `data.geometry.affine_crops`; default 2.33.
        recipe: default the one that suits method and data set.
        command: the command line that was given, kept for the report.
        tracker: is told the figures of every check: a name of `data.tracking.registry.TRACKERS`, which keeps
            the run, or an object.
        time_limit: after which this call saves the state and ends.
        compile_step: whether the training step is compiled first, see `hardattn.training.compilation`. What
            is learned is the same, but for rounding.
        accumulate: parts of a batch, one after the other in memory. What is learned is the same, but for
            rounding; and so it is where several processes of a group of `torch.distributed` call this, and
            train one network together, see `hardattn.training.distributed`.
        precision: of products in training: "float32" or "bfloat16"; "auto": the latter on a GPU.
        chosen: fields of `Recipe` that are not as in `recipe`.

    Raises:
        SettingsError, StoreError, CheckpointError: before anything is written.
        UnfinishedError: the time limit was reached.
    """
    require_tracker(tracker)
    name = method_of(method, store is not None)
    recipe, budget = _recipe_for(name, dataset, recipe, chosen), budget or Budget()
    steps = _steps(name, dataset) if glimpses is None else glimpses
    require_seed(seed)
    geometry = geometry_of(name, dataset, store, geometry, magnification)
    _require_possible(name, recipe, geometry, steps)
    features = features or pretrained_encoder(recipe.encoder)
    _require_learned(recipe, features)
    _require_boxes(dataset, recipe)
    everyone = recipe.supervised_share == 1
    _require_taught(teacher, recipe)
    guided = guided_images(dataset, store, geometry, steps, supervised_images, recipe.policy, everyone)
    guidance = _guidance(dataset, store, guided, geometry, name, recipe)
    target = choose_device(device)
    division = Division.here(accumulate, target)
    require_precision(precision)
    _require_divisible(division, recipe)
    if compile_step:
        _require_compilable(name, recipe, division)
    settings = NetworkSettings(
        **task_of(dataset, geometry),
        method=name,
        seed=seed,
        glimpses=steps,
        fingerprint=dataset.fingerprint("train", "valid"),
        supervision=supervision_settings(store, guided, geometry),
        distillation=teacher.settings() if teacher else None,
        features=features.digest() if features else None,
        budget=budget,
        recipe=recipe,
    )
    _require_buildable(settings, features, division)
    imitated = _imitated(run_folder, store, supervised_images)
    division.by_first(lambda: open_run(run_folder, settings, dataset.origin, imitated, command))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), one_thread():
        torch.manual_seed(seed)
        network = build(settings).to(target)
        if features is not None:
            features.put_into(network)
        batches = _batches(dataset, settings, guided, guidance, target)
        images, looks = at_home(dataset["valid"], target), METHODS[name].evaluation
        validate = Validator(images, geometry, steps, looks, recipe.ponder_cost)
        targets = torch.cat([teacher.targets(split) for split in batches.pool.splits]) if teacher else None
        learner = LEARNERS[METHODS[name].learner](
            network, METHODS[name], batches, geometry, recipe, seed, targets
        )
        learner.division, learner.precision = division, precision
        if compile_step:
            learner.compile()
        total = budget.total(len(dataset["train"]), recipe.batch_size)
        run_to_the_end(learner, batches, validate, run_folder, budget, total, tracker, time_limit)
    return run_folder


def _batches(
    dataset: DataSet,
    settings: NetworkSettings,
    guided: Guided | None,
    guidance: dict[str, Any],
    device: torch.device,
) -> MixedBatches:
    """Batches of the training images, and of those that are guided, where these are."""
    images, recipe = at_home(dataset["train"], device), settings.recipe
    if guided is not None:
        guidance |= {"supervised": _beside(guided[0], dataset["train"], images), "locations": guided[1]}
    drawn: dict[str, Any] = {"supervised_share": recipe.supervised_share, "seed": settings.seed}
    drawn["repeats"] = recipe.trajectories
    return MixedBatches(images, settings.glimpses, recipe.batch_size, **drawn, **guidance)


def _recipe_for(name: str, dataset: DataSet, recipe: Recipe | None, chosen: dict[str, Any]) -> Recipe:
    """The recipe that was asked for, or the one that suits, with what the method needs and the choices."""
    known = [each.name for each in fields(Recipe)]
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise SettingsError(f"expected options of {', '.join(known)}; found {', '.join(unknown)}")
    if "policy_shapes_state" in chosen and METHODS[name].training != "sample":
        raise SettingsError(
            "expected a method that learns where to look with --policy-shapes-state or --policy-reads-state, "
            f"found {name}; take one or leave the option out"
        )
    suited = recipe or Recipe.suited(METHODS[name], symmetric=dataset.symmetric, aligned=dataset.aligned)
    needed = {
        field: getattr(METHODS[name], field) for field in ("supervised_share", "policy", "halts", "infers")
    }
    return replace(
        suited,
        **{field: value for field, value in needed.items() if value is not None} | implied(chosen) | chosen,
    )


def _require_possible(name: str, recipe: Recipe, geometry: Geometry, steps: int) -> None:
    """Raises SettingsError for a recipe that does not go with the method, or with so many glimpses."""
    require_used(name, recipe)
    step_weights(recipe.loss_at, steps)  # refuses weights of another number of glimpses
    require_glimpses(steps, geometry)
    require_sides(recipe, geometry.sides)
    require_balanced(recipe, steps)
    require_policy(name, recipe.policy, steps - geometry.first_glance, len(geometry.grid()))


def _require_divisible(division: Division, recipe: Recipe) -> None:
    """Raises SettingsError for gradients that have to know the whole batch."""
    if division.count > 1 and recipe.trajectories > 1:
        raise SettingsError(
            f"expected no --trajectories in a batch that is divided, found {recipe.trajectories}; train in "
            "one process, without --accumulate"
        )
    if division.count > 1 and recipe.gradient_equilibrium is not None:
        raise SettingsError(
            "expected no --gradient-equilibrium in a batch that is divided, whose gradients are compared "
            "over the whole batch, found one; train in one process, without --accumulate"
        )


def _require_compilable(name: str, recipe: Recipe, division: Division) -> None:
    """Raises SettingsError for a step that is not compiled, or where there is no compiler."""
    if not LEARNERS[METHODS[name].learner].compiles:
        raise SettingsError(f"expected a method that can be compiled, found {name}; leave --compile out")
    if recipe.gradient_equilibrium is not None:
        raise SettingsError(
            "expected no --compile with --gradient-equilibrium, whose gradients wait for each other, found "
            "both; leave one of them out"
        )
    if division.count > 1:
        raise SettingsError(
            "expected one process and no --accumulate with --compile, found a batch that is divided; leave "
            "one of them out"
        )
    require_compiler()


def _steps(name: str, dataset: DataSet) -> int:
    """T where it is not chosen."""
    return METHODS[name].glimpses or dataset.glimpses


def _require_learned(recipe: Recipe, features: LearnedFeatures | None) -> None:
    """Raises SettingsError for an encoder that is frozen before it has learned anything."""
    if recipe.frozen and features is None:
        raise SettingsError("expected --features with --frozen, found none; add a run or leave it out")


def _require_buildable(
    settings: NetworkSettings, features: LearnedFeatures | None, division: Division
) -> None:
    """Raises SettingsError for parts that do not go together, before anything is written."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        network = build(settings)
    if features is not None:
        features.put_into(network)
    recipe = settings.recipe
    share = recipe.supervised_share if settings.supervision is not None else None
    division.require(network, sizes(recipe.batch_size, share))


def _require_boxes(dataset: DataSet, recipe: Recipe) -> None:
    """Raises SettingsError for a reward that goes by boxes, of training images that have none."""
    if "box" in recipe.rewards and dataset["train"].boxes is None:
        raise SettingsError(
            f"expected a data set that knows boxes for the reward box, found {dataset.name}; take digits, "
            "translated-mnist, cluttered-mnist, cub or celebahq with --scatter, or leave it out"
        )


def _require_taught(teacher: Teacher | None, recipe: Recipe) -> None:
    """Raises SettingsError for a teacher of classes that are not learned."""
    if teacher is not None and recipe.classification_weight == 0:
        raise SettingsError(
            "expected a --classification-weight above 0 with --distil, found 0; leave one of them out"
        )


def _imitated(run_folder: Path, store: SequenceSource | None, images: int | None) -> dict[str, Any] | None:
    """Where the sequences lie, seen from the run's parent, None in memory; how many images were asked for."""
    if store is None:
        return None
    path = store.path and os.path.relpath(store.path, run_folder.parent)
    return {"store": path, "supervised_images": images}


def _guidance(
    dataset: DataSet,
    store: SequenceSource | None,
    guided: Guided | None,
    geometry: Geometry,
    name: str,
    recipe: Recipe,
) -> dict[str, Any]:
    """What is learned of guided images beside their locations: EPE maps and gains, where they are wanted."""
    guidance: dict[str, Any] = {}
    if METHODS[name].then and guided:
        require_everyone(guided, dataset["train"])
    if store is not None and guided and "saliency" in METHODS[name].weights:
        images, locations = guided
        guidance["maps"] = guided_maps(store, images, geometry, locations.shape[1], recipe.policy)
    if recipe.gain_target == "design":
        guidance["gains"] = designed_gains(store, guided)
    return guidance


def _beside(guided: Split, train: Split, images: Split) -> Split:
    """The guided images where the training images are; these themselves, if they are the same."""
    return images if guided is train else guided.to(images.images.device)
