"""How true the numbers of a design are: its EPE beside what is realised on images that no part has seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.estimators.bank import embed_places
from boed.estimators.epe import candidate_scores
from boed.search.designer import Designer, History
from data.dataset import Split
from data.device import at_device, one_thread
from data.sample import sample_rows

IMAGES = 1000
TOLERANCE, SHARE = 0.05, 0.05  # nats, and of the realised value: within the larger of both they agree


@dataclass(frozen=True)
class CalibrationRow:
    """What a design predicts of glimpse t, and what comes true, in nats; means over images.

    Attributes:
        step: t, from 1.
        entropy: of q before the glimpse; of the labels before the first.
        nll: of q before the glimpse, $-\\log q(\\theta \\mid y_{<t})$.
        predicted: EPE of the chosen place.
        realised: $-\\log q(\\theta \\mid y_{\\le t})$ after the glimpse there.
        error: standard error of predicted less realised, paired over the images.
        slope, correlation: of realised on predicted over all images and places that were open.
    """

    step: int
    entropy: float
    nll: float
    predicted: float
    realised: float
    error: float
    slope: float
    correlation: float

    @property
    def agrees(self) -> bool:
        """Whether prediction and realisation are within .05 nats, or 5 %, whichever is more."""
        return abs(self.predicted - self.realised) <= max(TOLERANCE, SHARE * self.realised)

    def to_json(self) -> dict[str, Any]:
        """Its fields, and whether it agrees."""
        return asdict(self) | {"agrees": self.agrees}


@torch.no_grad()
def measure_calibration(
    fitted: Approximations, split: Split, *, images: int = IMAGES, seed: int | None = None
) -> list[CalibrationRow]:
    """One row for each glimpse of the designs of a split.

    Args:
        fitted: from `boed.fit` or `boed.load`.
        split: images that neither q nor the bank has seen: any but `dataset["train"]`.
        images: how many of them, a fair sample.
        seed: of the completions; default that of the fit.
    """
    split = at_device(split, fitted.places.device)
    rows = sample_rows(len(split), min(images, len(split))).to(split.ids.device)
    seed = fitted.settings.seed if seed is None else seed
    with one_thread():
        return list(_rows(Designer(fitted), split, rows, seed))


def _rows(designer: Designer, split: Split, rows: Tensor, seed: int) -> Iterator[CalibrationRow]:
    history, labels = History(designer, split, rows, seed=seed), split.labels[rows]
    before = designer.prior_loss(labels)
    for step, (weight, read) in enumerate(zip(designer.weights, designer.calibrations, strict=True), 1):
        entropy, realised = history.predictive_entropy(), _realised(history, split, rows)
        places, predicted = history.choose(weight, read)
        at = places[:, None]
        found, true = predicted.gather(1, at).flatten(), realised.gather(1, at).flatten()
        yield CalibrationRow(
            step,
            float(entropy.mean()),
            float(before.mean()),
            float(found.mean()),
            float(true.mean()),
            float((found - true).std() / len(rows) ** 0.5),
            *_line(predicted[~history.seen], realised[~history.seen]),
        )
        history.look(places)
        before = true


def _realised(history: History, split: Split, rows: Tensor) -> Tensor:
    """(B, L) double: -log q of the true label after one more glimpse at each place."""
    learned = history.designer.learned
    blocks = embed_places(
        learned.q, split.images, rows, learned.places, learned.geometry, history.designer.bank.width
    )
    parts, start = [], 0
    for statistics in blocks:  # (b, L, D)
        some = slice(start, start := start + len(statistics))
        logits = learned.q.logits(history.total[some, None].float() + statistics, history.count + 1)
        parts.append(candidate_scores(logits, split.labels[rows[some]], "cross-entropy"))
    return torch.cat(parts).double()


def _line(predicted: Tensor, realised: Tensor) -> tuple[float, float]:
    """Slope and correlation of realised on predicted (M,); 0 where nothing varies."""
    one, other = predicted - predicted.mean(), realised - realised.mean()
    cross, square = float((one * other).sum()), float(one.square().sum())
    norm = (square * float(other.square().sum())) ** 0.5
    return (cross / square if square > 0 else 0.0), (cross / norm if norm > 0 else 0.0)
