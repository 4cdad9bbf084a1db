"""Evaluation of a run folder on test images: accuracy after every glimpse, accuracy against compute.

A baseline sees the whole image at once, as one glimpse.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.dataset import DataSet, Split
from data.errors import CheckpointError, SettingsError
from data.geometry import Geometry
from hardattn import checkpoint, whole_image
from hardattn.baselines import Baseline
from hardattn.flops import mflops, mflops_per_glimpse, parameters
from hardattn.learner import accuracy_and_nll
from hardattn.methods import METHODS
from hardattn.network import HardAttention
from hardattn.stopping import Point, curve
from hardattn.train import at_home, read_log
from hardattn.trained import open_trained
from hardattn.trajectories import predictions, require_trajectories

CONVERGED_WITHIN = 0.01
EVALUATION, PICTURE = "evaluation.json", "curve.png"


@dataclass(frozen=True)
class Evaluation:
    """What a network does on test images, locations as the method says.

    Attributes:
        method: how the network was trained; the name of a baseline.
        accuracy_at, nll_at: after each number of glimpses t, from the prediction at t.
        iterations_to_convergence, seconds_to_convergence: see `convergence`.
        mflops_per_glimpse: per image, a multiply-add being 2; of all its trajectories together.
        curve: accuracy against compute, by stopping rule and threshold.
        parameters: of the whole network.
        trajectories: for each image, whose predictions are averaged.
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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    run_folder: Path,
    data_root: Path | None = None,
    *,
    dataset: DataSet | None = None,
    device: str = "auto",
    trajectories: int = 1,
) -> Evaluation:
    """Evaluates the best weights of a run; writes evaluation.json and curve.png beside them.

    Only the test split is opened. Thresholds of the stopping rule come from the validation images at
    training time.

    Args:
        run_folder: what `train` wrote.
        data_root: other images than those of the training; a folder with test images only will do.
        dataset: the data set itself, where it is not one of the registry.
        trajectories: for each image; of several, drawn from the policy, the predictions are averaged.

    Raises:
        SettingsError: less than one trajectory, or several of a baseline.
        CheckpointError: weights are missing, damaged or of another task.
    """
    require_trajectories(trajectories)
    run = open_trained(run_folder, data_root, dataset=dataset, device=device)
    settings, network = run.settings, run.network
    test = at_home(run.dataset["test"], network.device)
    logits, gain, cost = (
        _whole_images(network, test, settings, trajectories)
        if isinstance(network, Baseline)
        else _glimpses(network, test, settings, trajectories)
    )
    labels = test.labels.cpu()
    accuracy, nll = accuracy_and_nll(logits, labels)
    thresholds = run.about["thresholds"]  # of the validation images
    result = Evaluation(
        run.dataset.name,
        run.dataset.target,
        run.method,
        settings["seed"],
        len(labels),
        {str(t): value for t, value in enumerate(accuracy, start=1)},
        {str(t): value for t, value in enumerate(nll, start=1)},
        *convergence(list(read_log(run_folder / checkpoint.LOG))),
        cost,
        curve(gain, logits, labels, cost, thresholds),
        parameters(network),
        trajectories,
    )
    figures, picture = output_files(run_folder, data_root)
    checkpoint.write_json(figures, result.to_json())
    draw_curve(result, picture)
    return result


def output_files(run_folder: Path, data_root: Path | None) -> tuple[Path, Path]:
    """Figures and picture of an evaluation; those of other images lie beside, not instead.

    >>> [path.name for path in output_files(Path("run"), Path("elsewhere"))]
    ['evaluation-other.json', 'curve-other.png']
    """
    if data_root is None:
        return run_folder / EVALUATION, run_folder / PICTURE
    return run_folder / "evaluation-other.json", run_folder / "curve-other.png"


def convergence(log: list[dict[str, Any]]) -> tuple[int, float]:
    """First checked iteration whose validation NLL is within 0.01 nats of the run's best, and its seconds.

    >>> checks = ((0, 0.7), (100, 0.309), (200, 0.3))
    >>> convergence([{"iteration": i, "seconds": i / 10, "nll": nll} for i, nll in checks])
    (100, 10.0)
    """
    if not log:
        raise CheckpointError("expected a log of the training run, found none; train again")
    best = min(line["nll"] for line in log)
    first = next(line for line in log if line["nll"] <= best + CONVERGED_WITHIN)
    return first["iteration"], first["seconds"]


def _glimpses(
    network: HardAttention, split: Split, settings: dict[str, Any], trajectories: int
) -> tuple[Tensor, Tensor, float]:
    """Logits (N, T, K), predicted gains (N, T), and the MFLOPs of one more glimpse of every trajectory."""
    geometry, mode = Geometry(**settings["geometry"]), METHODS[settings["method"]].evaluation
    seed, steps = settings["seed"], settings["glimpses"]
    logits, gain = predictions(
        network, split, geometry, steps, mode=mode, seed=seed, trajectories=trajectories
    )
    return logits, gain, trajectories * mflops_per_glimpse(network, geometry.glimpse_shape())


def _whole_images(
    network: Baseline, split: Split, settings: dict[str, Any], trajectories: int
) -> tuple[Tensor, Tensor, float]:
    """The same where one glimpse is the whole image, after which nothing is gained."""
    if trajectories > 1:
        raise SettingsError(f"expected 1 trajectory of a baseline, which has no choice, found {trajectories}")
    geometry = Geometry(**settings["geometry"])
    logits = whole_image.logits_of(network, split, geometry)
    image = torch.zeros(1, *geometry.glimpse_shape(), device=network.device)
    return logits, torch.zeros(logits.shape[:2]), mflops(network, image)


def draw_curve(evaluation: Evaluation, path: Path) -> None:
    """Accuracy against MFLOPs per image, one line per stopping rule."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    labels = {"fixed": "fixed number of glimpses", "gain": "until the predicted gain is small"}
    for rule in dict.fromkeys(point.rule for point in evaluation.curve):
        points = sorted((p.mflops, 100 * p.accuracy) for p in evaluation.curve if p.rule == rule)
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=labels.get(rule, rule))
    axes.set(xlabel="MFLOPs per image", ylabel="accuracy, %")
    axes.set_title(f"{evaluation.dataset} {evaluation.target}: {evaluation.method}", fontsize=10)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
