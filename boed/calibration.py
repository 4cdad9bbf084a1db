"""How true the numbers of a design are: its EPE beside what is realised on images that no part has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.estimators.bank import Bank
from boed.generation import require_usable
from boed.search.adaptivity import affordable
from boed.search.designer import Designer, History
from data.dataset import Split
from data.device import at_device, one_thread
from data.sample import sample_rows

IMAGES = 1000
TOGETHER_IMAGES = 300  # of each of several attributes
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
        split: images that neither q nor the bank has seen: any but `dataset["train"]`.
        images: how many of them at most, a fair sample; default 1,000, or fewer where maps are dear.
        seed: of the completions; default that of the fit.

    Raises:
        SettingsError: no fit, or no split of images as they were fitted.

    >>> import boed, data
    >>> images = (torch.rand(80, 8, 8) * 255).byte()
    >>> dataset = data.DataSet.from_arrays(images, torch.arange(80) % 2, glimpse_size=4, glimpses=2)
    >>> fitted = boed.fit(dataset, iterations=12, width=8, device="cpu")
    >>> [row.step for row in boed.measure_calibration(fitted, dataset["valid"])]
    [1, 2]
    """
    require_usable(fitted, split)
    with one_thread():
        return list(_rows(fitted, _embedded(fitted, split, images), seed))


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
                seen = _embedded(fitted, splits[name], min(images, affordable(fitted, images)))
            rows = torch.searchsorted(splits[name].ids, seen.split.ids.to(splits[name].ids))
            labelled = at_device(splits[name].take(rows), fitted.places.device)
            found[name] = list(_rows(fitted, seen.of_attribute(fitted.q, labelled), None))
    return found


def _embedded(fitted: Approximations, split: Split, images: int | None) -> Bank:
    """A fair sample of a split, at all places."""
    images = affordable(fitted, IMAGES) if images is None else images
    sample = split.take(sample_rows(len(split), min(images, len(split))))
    return Bank(fitted.q, at_device(sample, fitted.places.device), fitted.places, fitted.geometry)


@torch.no_grad()
def _rows(fitted: Approximations, unseen: Bank, seed: int | None) -> Iterator[CalibrationRow]:
    designer, labels = Designer(fitted), unseen.labels
    rows = torch.arange(len(unseen), device=labels.device)
    seed = fitted.settings.seed if seed is None else seed
    history, before = History(designer, unseen.split, rows, seed=seed), designer.prior_loss(labels)
    for step, (weight, read) in enumerate(zip(designer.weights, designer.calibrations, strict=True), 1):
        entropy = history.predictive_entropy()
        realised = unseen.scores_after(rows, history.total, step, "cross-entropy").double()
        places, predicted = history.choose(weight, read)
        at, open_ = places[:, None], ~history.seen
        found, true = predicted.gather(1, at).flatten(), realised.gather(1, at).flatten()
        slope, correlation = _line(predicted[open_], realised[open_])
        yield CalibrationRow(
            step,
            len(rows),
            entropy=float(entropy.mean()),
            nll=float(before.mean()),
            predicted=float(found.mean()),
            realised=float(true.mean()),
            error=_standard_error(found - true),
            slope=slope,
            correlation=correlation,
            bins=_bins(predicted[open_], realised[open_]),
        )
        history.look(places)
        before = true


def _standard_error(values: Tensor) -> float:
    """Of the mean of values (B,); 0 of a single one."""
    return float(values.std(correction=0)) / max(1, len(values) - 1) ** 0.5


def _bins(predicted: Tensor, realised: Tensor) -> tuple[tuple[float, float], ...]:
    """Means of pairs (M,), in tenths by what is predicted; as many as there are pairs where they are fewer.

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
