"""Figures of predictions, with bootstrap intervals over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data.geometry import Geometry
from data.places import is_whole, pixels_at
from data.stages import stage

RESAMPLES, BINS, LEVEL = 2000, 15, 0.95
CHUNK = 100


@dataclass(frozen=True)
class Measure:
    """A figure and what it is in each resample of the images.

    Attributes:
        value: (...) the figure.
        samples: (R, ...) the figure of each resample.

    >>> Measure(np.array([0.5]), np.linspace(0, 1, 41)[:, None]).interval()[1].round(3).tolist()
    [0.975]
    """

    value: np.ndarray
    samples: np.ndarray

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end (...) of the central 95 % of the resamples."""
        low, high = np.quantile(self.samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return low, high

    def minus(self, other: Measure) -> Measure:
        """What it is above another one, resample by resample: of the same images, a paired difference."""
        return Measure(self.value - other.value, self.samples - other.samples)

    def at(self, place: int | Sequence[int]) -> Measure:
        """One place, or several, of the first axis."""
        return Measure(self.value[place], self.samples[:, place])

    @classmethod
    def mean(cls, measures: Sequence[Measure]) -> Measure:
        """The mean of several figures, resample by resample."""
        values, samples = zip(*((m.value, m.samples) for m in measures), strict=True)
        return cls(np.mean(values, axis=0), np.mean(samples, axis=0))


@stage("intervals")
def resampling(groups: Tensor, *, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """(R, N) how often each image is in each resample, drawn with replacement.

    Versions of one original (one group) are drawn together. As many groups and the same seed give the same
    draws, so that figures of several sources or targets on the same images are paired.

    >>> counts = resampling(torch.arange(5), seed=0, resamples=3)
    >>> counts.shape, counts.sum(1).tolist()
    ((3, 5), [5.0, 5.0, 5.0])
    """
    names, inverse = groups.unique(return_inverse=True)
    share = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), share, size=resamples)
    return drawn[:, inverse.cpu().numpy()].astype(np.float64)


@stage("intervals")
def mean_measure(values: Tensor, counts: np.ndarray) -> Measure:
    """Mean over images of values (S, N, T): a measure (S, T)."""
    array = values.double().cpu().numpy()
    columns = array.transpose(1, 0, 2).reshape(array.shape[1], -1)
    samples = (counts @ columns) / counts.sum(1, keepdims=True)
    return Measure(array.mean(1), samples.reshape(len(counts), array.shape[0], array.shape[2]))


@stage("intervals")
def calibration_measure(confidence: Tensor, right: Tensor, counts: np.ndarray) -> Measure:
    r"""Expected calibration error of S sources after each glimpse: a measure (S, T).

    $\mathrm{ECE} = \sum_b \frac{|b|}{N} \,\lvert \overline{\mathrm{right}}_b -
    \overline{\mathrm{confidence}}_b \rvert$ over 15 bins b of equal width of the confidence.

    Noise only adds to this error, so resamples have a larger one; they are shifted such that their mean is
    the error itself.

    Args:
        confidence: (S, N, T) largest probability.
        right: (S, N, T) whether its class is the label.
    """
    gap = (right.double() - confidence.double()).cpu().numpy()
    bins = (confidence * BINS).long().clamp(max=BINS - 1).cpu().numpy()
    sources, images, steps = gap.shape
    value, samples = np.empty((sources, steps)), np.empty((len(counts), sources, steps))
    for s, t in np.ndindex(sources, steps):
        gaps = np.zeros((images, BINS))
        gaps[np.arange(images), bins[s, :, t]] = gap[s, :, t]
        value[s, t] = np.abs(gaps.mean(0)).sum()
        samples[:, s, t] = np.abs(counts @ gaps).sum(1) / counts.sum(1)
    return Measure(value, (samples - samples.mean(0) + value).clip(min=0))


def seen_pixels(locations: Tensor, geometry: Geometry) -> list[float]:
    """Pixels inside any of the first t glimpses, for each t, on average over images (N, T, 2).

    >>> geometry = Geometry(12, 12, 1, glimpse_size=4, per_axis=9)
    >>> seen_pixels(torch.tensor([[[0, 0, 4], [2, 0, 4], [0, 0, 4]]]), geometry)
    [16.0, 24.0, 24.0]
    """
    return pixels_by_image(locations, geometry).double().mean(0).tolist()


def read_pixels(locations: Tensor, geometry: Geometry) -> list[float]:
    """Pixels that the first t squares are averaged from, for each t, on average over images (N, T, 3).

    This is what averaging them down in software reads; a sensor that bins them reads `read_values`.

    >>> geometry = Geometry(12, 12, 1, glimpse_size=4, sides=(4, 6, 12))
    >>> places = torch.tensor([[[0, 0, 4], [2, 0, 6], [0, 0, 12]]])
    >>> read_pixels(places, geometry), read_values(3, geometry)
    ([16.0, 52.0, 196.0], [16, 32, 48])
    """
    return pixels_at(locations, geometry).cumsum(1).double().mean(0).tolist()


def read_values(steps: int, geometry: Geometry) -> list[int]:
    """Values per colour channel that a sensor delivers of the first t glimpses, for each t up to `steps`."""
    return [t * geometry.retina().pixels() for t in range(1, steps + 1)]


def pixels_by_image(locations: Tensor, geometry: Geometry) -> Tensor:
    """(N, T) pixels inside any of the first t glimpses at each image.

    Args:
        locations: (N, T, 3) places. Of several scales the finest counts. The whole image at a first glance
            counts as the pixels that are averaged from it, as many as a glimpse has; among squares of several
            sides it counts as what it is averaged from, as they all do.
    """
    totals = torch.zeros(locations.shape[:2], dtype=torch.int64)
    glances = is_whole(locations, geometry) & (not geometry.sides)
    sides = locations[..., 2].masked_fill(glances, 0)
    parts = (each.split(CHUNK) for each in (locations, sides, totals))
    for places, side, total in zip(*parts, strict=True):
        rows = _covered(places[..., 0], geometry.height, side)
        cols = _covered(places[..., 1], geometry.width, side)
        seen = torch.zeros(len(places), geometry.height, geometry.width, dtype=torch.bool)
        for t in range(total.shape[1]):
            seen |= rows[:, t, :, None] & cols[:, t, None, :]
            total[:, t] = seen.sum((1, 2))
    return totals + (glances.long().cumsum(1) > 0) * geometry.glimpse_size**2


def _covered(starts: Tensor, length: int, sides: Tensor) -> Tensor:
    """(..., length) whether each pixel of an axis lies in [start, start + side) of (...)."""
    offset = torch.arange(length) - starts[..., None]
    return (offset >= 0) & (offset < sides[..., None])
