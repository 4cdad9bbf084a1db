"""The points of a trained network, and at which test images each of them is right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from data.dataset import DataSet, Split
from data.device import at_home
from data.errors import CheckpointError
from data.files import write_atomically
from data.measures import mean_measure, resampling
from hardattn.baselines.early_exit import left_at, ways_out
from hardattn.baselines.layers import Baseline
from hardattn.evaluation import (
    RESAMPLES,
    looked_at,
    require_images,
    stopping_settings,
    whole_image_read,
    whole_images,
)
from hardattn.experiments.frontier.pareto import FrontierPoint
from hardattn.loading import TrainedNetwork, open_trained
from hardattn.stopping.curve import outcome_at
from hardattn.stopping.figures import Outcome, right_at
from hardattn.training.ending import standing_of

RIGHT, ORIGINALS = "right.npy", "originals.npy"
Way = tuple[str, float]
"""A rule and its threshold."""


def measured_points(run: Path, dataset: DataSet, family: str, name: str, device: str) -> list[FrontierPoint]:
    """Every way to stop the network of a run; the test images are looked at here, once.

    Which of them are answered rightly is written into its folder, see `right_of`.
    """
    trained = open_trained(run, dataset=dataset, device=device)
    valid, test = (_outcomes(trained, dataset[split]) for split in ("valid", "test"))
    right = torch.stack(
        [right_at(its.stops, dataset["test"].labels.cpu()) for its in test.values()]
    )  # (P, N)
    _write(run / RIGHT, np.packbits(right.bool().numpy(), axis=1))
    counts = resampling(dataset["test"].originals, seed=0, resamples=RESAMPLES)
    low, high = mean_measure(right.T[None], counts).at(0).interval()
    standing, settings = standing_of(run), trained.settings
    return [
        FrontierPoint(
            family=family,
            name=name,
            rule=way[0],
            threshold=way[1],
            mflops=_mean(test[way].mflops),
            pixels=_mean(test[way].read["pixels"]),
            valid_mflops=_mean(valid[way].mflops),
            valid_accuracy=_mean(right_at(valid[way].stops, dataset["valid"].labels.cpu())),
            test_accuracy=_mean(right[row]),
            test_low=float(low[row]),
            test_high=float(high[row]),
            test_nll=nll_loss(test[way].stops.log_probs, dataset["test"].labels.cpu()).item(),
            seconds=standing.seconds,
            run=run.name,
            values_read=_mean(test[way].read["values_read"]),
            pixels_read=_mean(test[way].read["pixels_read"]),
            software_mflops=_software(test[way], settings.geometry.channels),
            valid_software_mflops=_software(valid[way], settings.geometry.channels),
            seed=settings.seed,
            learning_rate=settings.recipe.learning_rate,
            iterations=standing.saved,
            capped=None if standing.budget.patience is None else not standing.out_of_patience,
            row=row,
        )
        for row, way in enumerate(test)
    ]


def _outcomes(run: TrainedNetwork, split: Split) -> Mapping[Way, Outcome]:
    """What every way to stop makes of the images of a split."""
    require_images(run, split)
    images = at_home(split, run.network.device)
    if isinstance(run.network, Baseline):
        every, costs = whole_images(run, images)
        read = whole_image_read(run)
        ways = ways_out(every, run.about["thresholds"])
        return {(rule, value): left_at(every, exits, costs, read) for rule, value, exits in ways}
    looks, costs_of_glimpses = looked_at(run, images)
    read_at, (settings, _) = looks.read(run.settings.geometry), stopping_settings(run, (), {})
    return {way: outcome_at(looks.predictions, costs_of_glimpses, read_at, *way) for way in settings}


def _software(its: Outcome, channels: int) -> float:
    """MFLOPs with the additions of averages, of every channel, each counted as one."""
    return _mean(its.mflops) + channels * _mean(its.read["additions"]) / 1e6


def _mean(values: Tensor) -> float:
    return values.double().mean().item()


def right_of(folder: Path, point: FrontierPoint, images: int) -> np.ndarray:
    """(N,) 1 where a point is right about a test image, 0 where it is wrong.

    Args:
        folder: of `frontier.json`.
        images: N.

    Raises:
        CheckpointError: it is not kept, or not whole.
    """
    packed = _read(folder / point.run / RIGHT)
    return np.unpackbits(packed[point.row], count=images)


def keep_originals(folder: Path, split: Split) -> None:
    """Writes of which original each test image is a version, for resampling."""
    _write(folder / ORIGINALS, split.originals.numpy())


def originals_of(folder: Path) -> Tensor:
    """(N,) what `keep_originals` wrote; raises CheckpointError where it is missing or damaged."""
    return torch.from_numpy(_read(folder / ORIGINALS))


def _write(path: Path, array: np.ndarray) -> None:
    def save(beside: Path) -> None:
        with beside.open("wb") as file:
            np.save(file, array)

    write_atomically(path, save)


def _read(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"expected {path} as `hardattn frontier` writes it, found damage or none ({error}); run it again"
        ) from None
    return array
