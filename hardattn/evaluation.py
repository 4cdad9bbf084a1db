"""Evaluation of a run folder on test images: accuracy after every glimpse, accuracy against compute.

A baseline sees the whole image at once, as one glimpse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from data.coverage import CoverageRow, coverage
from data.dataset import DataSet, Split
from data.device import at_home
from data.errors import SettingsError
from data.files import write_json
from data.geometry import Geometry
from data.measures import resampling
from data.readout import READ
from data.tensors import load_tensors
from hardattn.baselines import training as whole_image
from hardattn.baselines.early_exit import exit_costs, exit_curve
from hardattn.baselines.layers import Baseline
from hardattn.loading import TrainedNetwork, open_trained
from hardattn.objectives.registry import METHODS
from hardattn.stopping.curve import Settings, curve, settings_within
from hardattn.stopping.curve_files import draw_curve, write_csv
from hardattn.stopping.flops import Costs, costs_of, parameters
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Point
from hardattn.stopping.trajectories import Looks, predictions, require_trajectories
from hardattn.training import checkpoint
from hardattn.training.convergence import convergence
from hardattn.training.learner import accuracy_and_nll

RESAMPLES = 1000  # of the images, for intervals
EVALUATION, PICTURE, TABLE = "evaluation.json", "curve.png", "curve.csv"


@dataclass(frozen=True)
class Evaluation:
    """What a network does on test images, locations as the method says.

    Attributes:
        method: how the network was trained; the name of a baseline.
        accuracy_at, nll_at: after each number of glimpses t, from the prediction at t.
        iterations_to_convergence, seconds_to_convergence: see `hardattn.training.convergence.convergence`.
        mflops_per_glimpse: with the prediction after it, per image, a multiply-add being 2; of all its
            trajectories together, and without what decides about stopping.
        curve: accuracy against compute, by stopping rule and threshold.
        parameters: of the whole network.
        trajectories: for each image, whose predictions are averaged.
        budget: the largest "mean_glimpses" or "mflops" that was asked for.
        within_budget: of each rule the point whose threshold meets it on validation images.
        fingerprint: of the images, see `data.dataset.Split`.
        weights: digest of the network's, see `hardattn.training.checkpoint.weights_digest`.
        coverage: the share of the object's box in each glimpse, where boxes are known; of all trajectories.
    """

    dataset: str
    target: str
    method: str
    seed: int
    test_images: int
    accuracy_at: dict[str, float]
    nll_at: dict[str, float]
    iterations_to_convergence: int
    seconds_to_convergence: float
    mflops_per_glimpse: float
    curve: list[Point] = field(repr=False)
    parameters: int
    trajectories: int = 1
    budget: dict[str, float] = field(default_factory=dict)
    within_budget: list[Point] = field(default_factory=list)
    fingerprint: str = ""
    coverage: list[CoverageRow] = field(default_factory=list)
    weights: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    run_folder: Path,
    data_root: Path | None = None,
    *,
    dataset: DataSet | None = None,
    device: str = "auto",
    trajectories: int = 1,
    stop: Sequence[str] = (),
    budget_glimpses: float | None = None,
    budget_mflops: float | None = None,
) -> Evaluation:
    """Evaluates the best weights of a run; writes evaluation.json, curve.png and curve.csv beside them.

    Only the test split is opened. Thresholds of the stopping rules come from the validation images at
    training time, and so does which of them meets a budget.

    Args:
        run_folder: what `train` wrote.
        data_root: other images than those of the training; a folder with test images only will do.
        dataset: the data set itself, where it is not one of the registry.
        trajectories: for each image; of several, drawn from the policy, the predictions are averaged.
        stop: names of `hardattn.stopping.registry.RULES`; all of them without. `fixed` is always among them.
        budget_glimpses, budget_mflops: largest mean per image, on the validation images.

    Raises:
        SettingsError: less than one trajectory, or several of a baseline; an unknown rule; a budget that no
            rule meets, or with several trajectories or a baseline.
        CheckpointError: weights are missing, damaged or of another task.
    """
    require_trajectories(trajectories)
    run = open_trained(run_folder, data_root, dataset=dataset, device=device)
    budget = limits(budget_glimpses, budget_mflops)
    result = measured(run, run.dataset["test"], trajectories, stop=stop, budget=budget)
    figures, picture, rows = output_files(run_folder, data_root)
    draw_curve(result.curve, f"{result.dataset} {result.target}: {result.method}", picture)
    write_csv(result.curve, rows)
    write_json(figures, result.to_json())  # last: it says that all are there
    return result


def known_or_evaluated(
    run_folder: Path,
    data_root: Path | None = None,
    *,
    dataset: DataSet | None = None,
    device: str = "auto",
    trajectories: int | None = None,
) -> dict[str, Any]:
    """What `evaluate` wrote of a run, where that is of its weights; else the run is evaluated.

    So its test images are looked at once. It is evaluated again where the weights are others, or where what
    was written is of another number of trajectories or, with `data_root` or `dataset`, of other images, by
    fingerprint.

    Args:
        run_folder, data_root, dataset: see `evaluate`.
        trajectories: for each image; default as many as were evaluated last, or 1.

    Raises:
        CheckpointError: the evaluation is damaged, or weights are missing, damaged or of another task.
    """
    path, weights = output_files(run_folder, data_root)[0], run_folder / checkpoint.MODEL
    known = checkpoint.read_json(path, "an evaluation", "hardattn evaluate") if path.is_file() else {}
    before = known.get("trajectories", 1)
    wanted = before if trajectories is None else trajectories
    stale = not weights.is_file() or not known or not _is_of(known, path, weights)
    if not stale and (data_root is not None or dataset is not None):
        run = open_trained(run_folder, data_root, dataset=dataset, device=device)
        stale = known.get("fingerprint") != run.dataset["test"].fingerprint
    if stale or before != wanted:
        evaluate(run_folder, data_root, dataset=dataset, device=device, trajectories=wanted)
    return checkpoint.read_json(path)


def _is_of(known: Mapping[str, Any], path: Path, weights: Path) -> bool:
    """Whether an evaluation in a file is of the weights in another; one that does not say, if it is newer."""
    if "weights" not in known:
        return path.stat().st_mtime >= weights.stat().st_mtime
    tensors, _ = load_tensors(weights, checkpoint.COMMAND)
    return bool(known["weights"] == checkpoint.tensors_digest(tensors))


def limits(glimpses: float | None = None, mflops: float | None = None) -> dict[str, float]:
    """A budget by its names; what is None is no limit.

    >>> limits(glimpses=2.0)
    {'mean_glimpses': 2.0}
    """
    given = {"mean_glimpses": glimpses, "mflops": mflops}
    return {name: most for name, most in given.items() if most is not None}


def measured(
    run: TrainedNetwork,
    split: Split,
    trajectories: int = 1,
    *,
    stop: Sequence[str] = (),
    budget: Mapping[str, float] | None = None,
) -> Evaluation:
    """The figures of a network on a split; nothing is written.

    Args:
        stop: see `evaluate`.
        budget: largest "mean_glimpses" or "mflops".

    Raises:
        SettingsError: see `evaluate`; or images of another size or other classes than those of the training.
    """
    require_images(run, split)
    wanted, chosen = stopping_settings(run, stop, budget or {}, trajectories)
    images, held = at_home(split, run.network.device), list[CoverageRow]()
    labels, counts = images.labels.cpu(), resampling(images.originals, seed=0, resamples=RESAMPLES)
    if isinstance(run.network, Baseline):
        every, costs = whole_images(run, images, trajectories)
        logits, cost = every[:, -1:], costs[-1]
        points = exit_curve(every, labels, costs, run.about["thresholds"], counts, whole_image_read(run))
        within = list[Point]()
    else:
        looks, its_costs = looked_at(run, images, trajectories)
        logits, cost = looks.predictions.log_probs, its_costs.glimpse
        read = looks.read(run.settings.geometry)
        figures = partial(curve, looks.predictions, labels, costs=its_costs, read=read, counts=counts)
        points, within = figures(wanted), figures(chosen)
        held = _held(looks, split, run.settings.geometry)
    accuracy, nll = accuracy_and_nll(logits, labels)
    return Evaluation(
        run.settings.dataset,
        run.settings.target,
        run.method,
        run.settings.seed,
        len(labels),
        {str(t): value for t, value in enumerate(accuracy, start=1)},
        {str(t): value for t, value in enumerate(nll, start=1)},
        *convergence(list(run.log)),
        cost,
        points,
        parameters(run.network),
        trajectories,
        dict(budget or {}),
        within,
        images.fingerprint,
        held,
        checkpoint.weights_digest(run.network),
    )


def _held(looks: Looks, split: Split, geometry: Geometry) -> list[CoverageRow]:
    """How much of their objects the glimpses hold, of all trajectories alike."""
    if split.boxes is None:
        return []
    return coverage(
        looks.locations.flatten(0, 1), split.boxes.repeat_interleave(looks.locations.shape[1], 0), geometry
    )


def require_images(run: TrainedNetwork, split: Split) -> None:
    """Raises SettingsError for images of another size, or labels of other classes, than a network knows."""
    geometry, classes = run.settings.geometry, len(run.settings.classes)
    size = (geometry.height, geometry.width, geometry.channels)
    if tuple(split.images.shape[1:]) != size:
        raise SettingsError(
            f"expected images (N, {', '.join(map(str, size))}), found {tuple(split.images.shape)}; take a "
            "data set of the size that the network was trained on, or `predict`, which resizes"
        )
    if split.labels.ndim != 1 or int(split.labels.max()) >= classes:
        raise SettingsError(
            f"expected labels (N,) of {classes} classes, found {tuple(split.labels.shape)} up to "
            f"{int(split.labels.max())}; take the task that the network was trained for"
        )


def stopping_settings(
    run: TrainedNetwork, stop: Sequence[str], budget: Mapping[str, float], trajectories: int = 1
) -> tuple[Settings, Settings]:
    """Rules and thresholds to evaluate a run at: every one, and of each rule the one that meets a budget.

    Args:
        run: with what the rules make of the validation images, noted with its weights.
        stop: names of rules; all of them without.
        budget: largest "mean_glimpses" or "mflops"; without, none is chosen.

    Raises:
        SettingsError: see `evaluate`.
    """
    unknown = [name for name in stop if name not in RULES]
    if unknown:
        raise SettingsError(f"expected --stop of {', '.join(RULES)}; found {unknown[0]!r}")
    if isinstance(run.network, Baseline):
        if budget or stop:
            raise SettingsError("expected glimpses with --stop or a budget, found a baseline; leave them out")
        return [], []
    if budget and trajectories > 1:
        raise SettingsError(
            f"expected 1 trajectory with a budget, found {trajectories}; leave one of the two out"
        )
    if "halting" in stop and run.glimpsing()[0].halting_head is None:
        raise SettingsError(
            f"expected a network that halts with --stop halting, found one of {run.method}; train it with "
            "--method act, or take another rule"
        )
    points = run.about["stopping"]
    rules = [name for name in RULES if not stop or name in ("fixed", *stop)]
    wanted = [(point["rule"], point["threshold"]) for point in points if point["rule"] in rules]
    return wanted, settings_within(points, rules, budget) if budget else []


def looked_at(run: TrainedNetwork, split: Split, trajectories: int = 1) -> tuple[Looks, Costs]:
    """What the network of a run predicts at the images of a split, and the MFLOPs of all its trajectories.

    Raises:
        SettingsError: the run is that of a baseline.
    """
    network, settings = run.glimpsing()
    costs = costs_of(network, settings.geometry.glimpse_shape()).times(trajectories)
    return looks_at(run, split, trajectories), costs


def looks_at(run: TrainedNetwork, split: Split, trajectories: int = 1) -> Looks:
    """What the network of a run predicts at the images of a split; raises as `looked_at`."""
    network, settings = run.glimpsing()
    mode = METHODS[settings.method].evaluation
    steps, seed = settings.glimpses, settings.seed
    return predictions(
        network, split, settings.geometry, steps, mode=mode, seed=seed, trajectories=trajectories
    )


def whole_image_read(run: TrainedNetwork) -> dict[str, int]:
    """What a network on the whole image reads of one, see `data.readout.read_by_image`; it is averaged down.

    Raises:
        SettingsError: the run is not that of a baseline.
    """
    settings = run.whole_image()[1]
    values = whole_image.seen_geometry(settings).retina().pixels()
    pixels = math.prod(settings.geometry.image_size)
    added = pixels if values < pixels else 0
    return dict(zip(READ, (values, values, pixels, added), strict=True))


def output_files(run_folder: Path, data_root: Path | None) -> list[Path]:
    """Figures, picture and table of an evaluation; those of other images lie beside, not instead.

    >>> [path.name for path in output_files(Path("run"), Path("elsewhere"))]
    ['evaluation-other.json', 'curve-other.png', 'curve-other.csv']
    """
    own = [run_folder / name for name in (EVALUATION, PICTURE, TABLE)]
    return own if data_root is None else [path.with_stem(f"{path.stem}-other") for path in own]


def whole_images(run: TrainedNetwork, split: Split, trajectories: int = 1) -> tuple[Tensor, list[float]]:
    """Logits (N, E, K) at every exit of a network on the whole image, and the MFLOPs up to each."""
    if trajectories > 1:
        raise SettingsError(f"expected 1 trajectory of a baseline, which has no choice, found {trajectories}")
    network, settings = run.whole_image()
    image = whole_image.seen_geometry(settings).glimpse_shape()
    return whole_image.read_at_exits(network, split, settings), exit_costs(network, image)
