"""Evaluation of a run folder on test images: accuracy after every glimpse, accuracy against compute."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data.dataset import DataSet
from data.device import choose_device
from data.errors import CheckpointError
from data.geometry import Geometry
from data.registry import load
from data.tensors import load_tensors
from hardattn import checkpoint
from hardattn.flops import mflops_per_glimpse
from hardattn.learner import accuracy_and_nll, look_at_all
from hardattn.methods import METHODS
from hardattn.network import HardAttention
from hardattn.stopping import Point, curve
from hardattn.train import at_home, build, read_log

CONVERGED_WITHIN = 0.01
EVALUATION, PICTURE = "evaluation.json", "curve.png"


@dataclass(frozen=True)
class Evaluation:
    """What a network does on test images: one trajectory each, locations as the method says.

    Attributes:
        accuracy_at, nll_at: after each number of glimpses t, from the prediction at t.
        iterations_to_convergence, seconds_to_convergence: see `convergence`.
        mflops_per_glimpse: per image, a multiply-add being 2.
        curve: accuracy against compute, by stopping rule and threshold.
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
    trajectories: int = 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    run_folder: Path, data_root: Path | None = None, *, dataset: DataSet | None = None, device: str = "auto"
) -> Evaluation:
    """Evaluates the best weights of a run; writes evaluation.json and curve.png beside them.

    Only the test split is opened. Thresholds of the stopping rule come from the validation images at
    training time.

    Args:
        run_folder: what `train` wrote.
        data_root: other images than those of the training; a folder with test images only will do.
        dataset: the data set itself, where it is not one of the registry.

    Raises:
        CheckpointError: weights are missing, damaged or of another task.
    """
    run = checkpoint.read_json(run_folder / checkpoint.RUN)
    try:
        settings, opened_with = run["settings"], run["opened_with"]
        name, method = settings["dataset"], METHODS[settings["method"]]
    except KeyError as error:
        raise CheckpointError(
            f"expected a training run in {run_folder}, found run.json without {error}"
        ) from None
    if dataset is None:
        options = opened_with | ({"data_root": str(data_root)} if data_root else {})
        dataset = load(options.pop("name", name), options.pop("data_root", None), **options)
    checkpoint.require_fits(run_folder, settings, dataset)
    network, about = _trained(run_folder, settings)
    network.to(choose_device(device))
    geometry = Geometry(**settings["geometry"])
    test = at_home(dataset["test"], network.device)
    seen = look_at_all(
        network, test, geometry, settings["glimpses"], mode=method.evaluation, seed=settings["seed"]
    )
    labels = test.labels.cpu()
    accuracy, nll = accuracy_and_nll(seen.logits, labels)
    mflops = mflops_per_glimpse(network, geometry.glimpse_shape())
    thresholds = about["thresholds"]  # of the validation images
    result = Evaluation(
        dataset.name,
        dataset.target,
        settings["method"],
        settings["seed"],
        len(labels),
        {str(t): value for t, value in enumerate(accuracy, start=1)},
        {str(t): value for t, value in enumerate(nll, start=1)},
        *convergence(list(read_log(run_folder / checkpoint.LOG))),
        mflops,
        curve(seen.gain, seen.logits, labels, mflops, thresholds),
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


def _trained(run_folder: Path, settings: dict[str, Any]) -> tuple[HardAttention, dict[str, Any]]:
    """The network with its best weights, and what was noted with them."""
    tensors, about = load_tensors(run_folder / checkpoint.MODEL, checkpoint.COMMAND)
    network = build(settings)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"expected weights of the network of {run_folder / checkpoint.RUN}, found others ({reason})"
        ) from None
    return network, about


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
