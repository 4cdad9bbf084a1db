"""How true the numbers of a design are: its EPE beside what is realised on images that no part has seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from boed.approximations import Approximations
from boed.estimators.bank import Bank
from boed.generation import require_usable
from boed.search.adaptivity import affordable
from boed.search.designer import Designer
from boed.search.levels import crossed, standard_error, steps_without_levels
from boed.search.prediction import TOGETHER_IMAGES, Step, embedded, of_attribute, steps_of
from data.dataset import Split
from data.device import one_thread

TOLERANCE, SHARE = 0.05, 0.05  # nats, and of the realised value: within the larger of both they agree
BINS = 10


@dataclass(frozen=True)
class CalibrationRow:
    """What a design predicts of glimpse t, and what comes true, in nats; means over images.

    Attributes:
        step: t, from 1.
        images: how many.
        entropy: of q before the glimpse; of the labels before the first.
        nll: of q before the glimpse, $-\\log q(\\theta \\mid y_{<t})$.
        predicted: EPE of the chosen place.
        realised: $-\\log q(\\theta \\mid y_{\\le t})$ after the glimpse there.
        error: standard error of predicted less realised, paired over the images.
        slope, correlation: of realised on predicted over all images and places that were open.
        bins: means (predicted, realised) of tenths of these, in the order of what is predicted.
    """

    step: int
    images: int
    entropy: float
    nll: float
    predicted: float
    realised: float
    error: float
    slope: float
    correlation: float
    bins: tuple[tuple[float, float], ...]

    @property
    def agrees(self) -> bool:
        """Whether prediction and realisation are within .05 nats, or 5 %, whichever is more."""
        return abs(self.predicted - self.realised) <= max(TOLERANCE, SHARE * self.realised)

    def to_json(self) -> dict[str, Any]:
        """Its fields, and whether it agrees."""
        return asdict(self) | {"agrees": self.agrees}


def measure_calibration(
    fitted: Approximations, split: Split, *, images: int | None = None, seed: int | None = None
) -> list[CalibrationRow]:
    """One row for each glimpse of the designs of a split.

    Args:
        fitted: from `boed.fit` or `boed.load`.
        split: images that neither q nor the bank has seen: any but `dataset["train"]`. Of those by which the
            level of what is predicted was set, each half has the level that the other half gives.
        images: how many of them at most, a fair sample; default 1,000, or fewer where maps are dear.
        seed: of the completions; default that of the fit.

    Raises:
        SettingsError: no fit, or no split of images as they were fitted.

    >>> import boed, data, torch
    >>> images = (torch.rand(80, 8, 8) * 255).byte()
    >>> dataset = data.DataSet.from_arrays(images, torch.arange(80) % 2, glimpse_size=4, glimpses=2)
    >>> fitted = boed.fit(dataset, iterations=12, width=8, device="cpu")
    >>> [row.step for row in boed.measure_calibration(fitted, dataset["valid"])]
    [1, 2]
    """
    require_usable(fitted, split)
    with one_thread():
        return list(_rows(fitted, embedded(fitted, split, images), seed, _knows(fitted, split)))


def measure_together(
    fits: Mapping[str, Approximations], splits: Mapping[str, Split], *, images: int = TOGETHER_IMAGES
) -> dict[str, list[CalibrationRow]]:
    """The rows of each of some attributes that one q was trained on together: images are embedded once.

    Args:
        fits: from `boed.fitting.joint_fit.fit_jointly`.
        splits: the same images with the labels of each attribute.
        images: how many of them at most, a fair sample.
    """
    found, seen = dict[str, list[CalibrationRow]](), None
    with one_thread():
        for name, fitted in fits.items():
            require_usable(fitted, splits[name])
            if seen is None:
                seen = embedded(fitted, splits[name], min(images, affordable(fitted, images)))
            labelled = of_attribute(seen, fitted, splits[name])
            found[name] = list(_rows(fitted, labelled, None, _knows(fitted, splits[name])))
    return found


def _knows(fitted: Approximations, split: Split) -> bool:
    """Whether the level of what is predicted was set by these images."""
    return bool(fitted.levels.split) and split.fingerprint == fitted.levels.split


def _rows(fitted: Approximations, unseen: Bank, seed: int | None, known: bool) -> Iterator[CalibrationRow]:
    designer, seed = Designer(fitted), fitted.settings.seed if seed is None else seed
    before = designer.prior_loss(unseen.labels)
    steps: Iterable[Step] = (
        crossed(steps_without_levels(fitted, unseen, seed)) if known else steps_of(designer, unseen, seed)
    )
    for number, step in enumerate(steps, 1):
        found, true = step.at_chosen(step.predicted), step.at_chosen(step.realised)
        open_ = step.predicted.isfinite()
        predicted, realised = step.predicted[open_], step.realised[open_]
        slope, correlation = _line(predicted, realised)
        yield CalibrationRow(
            number,
            len(unseen),
            entropy=float(step.entropy.mean()),
            nll=float(before.mean()),
            predicted=float(found.mean()),
            realised=float(true.mean()),
            error=standard_error(found - true),
            slope=slope,
            correlation=correlation,
            bins=_bins(predicted, realised),
        )
        before = true


def _bins(predicted: Tensor, realised: Tensor) -> tuple[tuple[float, float], ...]:
    """Means of pairs (M,), in tenths by what is predicted; as many as there are pairs where they are fewer.

    >>> import torch
    >>> _bins(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 4.0]))
    ((1.0, 4.0), (3.0, 2.0))
    """
    order = predicted.argsort()
    parts = zip(predicted[order].tensor_split(BINS), realised[order].tensor_split(BINS), strict=True)
    return tuple((float(one.mean()), float(other.mean())) for one, other in parts if len(one))


def _line(predicted: Tensor, realised: Tensor) -> tuple[float, float]:
    """Slope and correlation of realised on predicted (M,); 0 where nothing varies."""
    one, other = predicted - predicted.mean(), realised - realised.mean()
    cross, square = float((one * other).sum()), float(one.square().sum())
    norm = (square * float(other.square().sum())) ** 0.5
    return (cross / square if square > 0 else 0.0), (cross / norm if norm > 0 else 0.0)
