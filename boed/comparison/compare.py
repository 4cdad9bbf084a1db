"""Sources of glimpse sequences compared by an independent judge, with bootstrap intervals over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from boed.combination import Combination, require_sensor
from boed.comparison.judge import judge
from boed.comparison.masks import Masks
from boed.comparison.settings import JudgeSettings
from data.dataset import DataSet, Split
from data.device import at_device
from data.errors import SettingsError, StoreError
from data.geometry import Geometry
from data.measures import Measure, calibration_measure, mean_measure, read_values, resampling, seen_pixels

REFERENCE = "fixed-order"
MEASURES = ("accuracy", "nll", "calibration_error")
DIFFERENCES = ("accuracy", "nll")


@dataclass(frozen=True)
class Source:
    """Sequences of one source for N images.

    Attributes:
        name: unique among the sources compared.
        kind: how they were made: "design", "fixed-order", "random", "published" or another.
        ids: (N,) images, increasing.
        locations: (N, T, 3) places.
        seconds: it took per sequence, where known.
    """

    name: str
    kind: str
    ids: Tensor
    locations: Tensor
    seconds: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Figures of S sources after each of T glimpses.

    Attributes:
        images: how many images were judged for each target.
        names, kinds: (S,) of the sources.
        measures: "accuracy", "nll" in nats and "calibration_error", each (S, T).
        differences: name of a source -> "accuracy" and "nll" of it minus those of the fixed order, each
            (T+1,): after each glimpse, and their mean over glimpses. Empty without a fixed order.
        pixels: (S, T) seen on average: those inside any of the squares.
        seconds: (S,) per sequence, None where not known.
        values: (T,) per colour channel that a sensor delivers which averages down what it reads.
    """

    dataset: str
    images: dict[str, int]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    measures: dict[str, Measure]
    differences: dict[str, dict[str, Measure]]
    pixels: np.ndarray
    seconds: tuple[float | None, ...]
    values: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """All figures with their intervals; keys are numbers of glimpses, and "mean"."""
        sources = {
            name: {measure: _each(self.measures[measure].at(s)) for measure in MEASURES}
            | {"pixels": {str(t): float(v) for t, v in enumerate(self.pixels[s], start=1)}}
            | {"values": {str(t): v for t, v in enumerate(self.values, start=1)}}
            | {"seconds_per_sequence": self.seconds[s]}
            for s, name in enumerate(self.names)
        }
        difference = {
            name: {"minus": self.reference()}
            | {measure: _each(measures, mean=True) for measure, measures in of.items()}
            for name, of in self.differences.items()
        }
        targets = list(self.images)
        about = (
            {"target": targets[0], "images": self.images[targets[0]]}
            if len(targets) == 1
            else {"targets": targets, "images": self.images}
        )
        return {"dataset": self.dataset, **about, "sources": sources, "difference": difference}

    def reference(self) -> str | None:
        """Name of the fixed order that differences are taken from."""
        pairs = zip(self.names, self.kinds, strict=True)
        return next((name for name, kind in pairs if kind == REFERENCE), None)


@dataclass(frozen=True)
class Judged:
    """What judges say of each of N images with the sequences of S sources.

    Attributes:
        ids: (N,) images that all sources have sequences of.
        originals: (N,) of which original each is a version.
        locations: (S, N, T, 3) places, of the smallest T.
        log_probs: (S, N, T, K) of the class after each glimpse, in nats.
        values: see `per_image`.
    """

    ids: Tensor
    originals: Tensor
    locations: Tensor
    log_probs: Tensor
    values: dict[str, Tensor]


def judged(
    dataset: DataSet,
    geometry: Geometry,
    sources: Sequence[Source],
    settings: JudgeSettings,
    *,
    device: torch.device | str = "cpu",
) -> Judged:
    """Judges the sequences of all sources, image by image; arguments and errors are those of `compare`."""
    steps = min(source.locations.shape[1] for source in sources)
    require_sensor(Combination(posterior=settings.posterior), geometry, steps)
    split = at_device(dataset["design"], device)
    ids, locations = common(sources)
    rows = _rows_of(split, ids)
    log_probs = judge(dataset, Masks(locations, split, rows, geometry), settings).cpu()
    values = per_image(log_probs, split.labels[rows].cpu())
    return Judged(ids, split.originals[rows.cpu()], locations, log_probs, values)


def compare(
    dataset: DataSet,
    geometry: Geometry,
    sources: Sequence[Source],
    settings: JudgeSettings,
    *,
    device: torch.device | str = "cpu",
) -> Comparison:
    """Judges the sequences of all sources for the images that they have in common.

    With different numbers of glimpses the smallest is taken.

    Args:
        dataset: its design split holds the images; judges learn from its train and valid splits.

    Raises:
        StoreError: no image has sequences of all sources, or the data lack one that has.
        DataError: too few images to judge.
        SettingsError: a judge that does not go with a first glance or several sides.
    """
    found = judged(dataset, geometry, sources, settings, device=device)
    locations, values = found.locations, found.values
    counts = resampling(found.originals, seed=settings.seed)
    measures = {name: mean_measure(each, counts) for name, each in values.items()}
    confidence = found.log_probs.amax(-1).exp()
    measures["calibration_error"] = calibration_measure(confidence, values["accuracy"], counts)
    return Comparison(
        dataset.name,
        {dataset.target: len(found.originals)},
        tuple(source.name for source in sources),
        tuple(source.kind for source in sources),
        measures,
        _differences(sources, values, counts),
        np.array([seen_pixels(places, geometry) for places in locations]),
        tuple(source.seconds for source in sources),
        tuple(read_values(locations.shape[2], geometry)),
    )


def common(sources: Sequence[Source]) -> tuple[Tensor, Tensor]:
    """Ids (N,) of the images of all sources, and their locations (S, N, T, 3) of the smallest T.

    >>> a = Source("a", "design", torch.tensor([1, 3, 4]), torch.zeros(3, 5, 3))
    >>> b = Source("b", "random", torch.tensor([3, 4, 9]), torch.zeros(3, 2, 3))
    >>> ids, locations = common([a, b])
    >>> ids.tolist(), tuple(locations.shape)
    ([3, 4], (2, 2, 2, 3))
    """
    ids = sources[0].ids
    for source in sources:
        ids = ids[torch.isin(ids, source.ids)]
    if len(ids) == 0:
        counts = ", ".join(f"{len(source.ids)} of {source.name}" for source in sources)
        raise StoreError(
            f"expected images that all sources have sequences of, found none in common of {counts}; "
            "generate all of them for the same images"
        )
    steps = min(source.locations.shape[1] for source in sources)
    chosen = [source.locations[torch.searchsorted(source.ids, ids), :steps] for source in sources]
    return ids, torch.stack(chosen)


def per_image(log_probs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Whether the likeliest class is right, and -log p(label) in nats, each (S, N, T).

    Args:
        log_probs: (S, N, T, K).
        labels: (N,).
    """
    each = labels[None, :, None].expand(log_probs.shape[:3])
    nll = nll_loss(log_probs.movedim(-1, 1), each, reduction="none")
    return {"accuracy": (log_probs.argmax(-1) == each).double(), "nll": nll.double()}


def average(comparisons: Sequence[Comparison]) -> Comparison:
    """The mean over several targets of one data set, for the sources that all of them have.

    Images are resampled within each target; targets with the same images resample the same ones.

    Args:
        comparisons: of sequences with the same number of glimpses.

    Raises:
        SettingsError: no source is common to all targets.
    """
    names = common_names([comparison.names for comparison in comparisons])
    first = comparisons[0]
    places = [[comparison.names.index(name) for name in names] for comparison in comparisons]
    pairs = list(zip(comparisons, places, strict=True))
    measures = {name: Measure.mean([c.measures[name].at(at) for c, at in pairs]) for name in MEASURES}
    seconds = [[c.seconds[at[s]] for c, at in pairs] for s in range(len(names))]
    return Comparison(
        first.dataset,
        {target: count for comparison in comparisons for target, count in comparison.images.items()},
        names,
        tuple(first.kinds[at] for at in places[0]),
        measures,
        _average_differences(comparisons, names),
        np.mean([comparison.pixels[at] for comparison, at in pairs], axis=0),
        tuple(None if None in each else float(np.mean(each)) for each in seconds),  # type: ignore[arg-type]
        first.values,
    )


def common_names(names: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The names that are in all lists, in the order of the first.

    >>> common_names([("design", "random"), ("random", "design", "published")])
    ('design', 'random')
    """
    shared = tuple(name for name in names[0] if all(name in others for others in names))
    if not shared:
        raise SettingsError(
            f"expected a source that all targets have, found {'; '.join(', '.join(each) for each in names)}; "
            "compare the same sources for every target"
        )
    return shared


def _rows_of(split: Split, ids: Tensor) -> Tensor:
    """Rows of these images in the split; StoreError when one is missing."""
    known = split.ids.cpu()
    rows = torch.searchsorted(known, ids).clamp(max=len(known) - 1)
    missing = ids[known[rows] != ids].tolist()
    if missing:
        raise StoreError(
            f"expected the images of the sequences in the data, found none of {missing[:5]}; "
            "use the same --data-root"
        )
    return rows.to(split.ids.device)


def _differences(
    sources: Sequence[Source], values: Mapping[str, Tensor], counts: np.ndarray
) -> dict[str, dict[str, Measure]]:
    """Each source minus the (first) fixed order, image by image: equal sequences differ by exactly 0."""
    reference = next((s for s, source in enumerate(sources) if source.kind == REFERENCE), None)
    if reference is None:
        return {}
    differences = {}
    for s, source in enumerate(sources):
        if s != reference:
            gaps = {name: each[s] - each[reference] for name, each in values.items()}  # (N, T)
            differences[source.name] = {
                name: mean_measure(torch.cat([gap, gap.mean(1, keepdim=True)], 1)[None], counts).at(0)
                for name, gap in gaps.items()
            }
    return differences


def _average_differences(
    comparisons: Sequence[Comparison], names: Sequence[str]
) -> dict[str, dict[str, Measure]]:
    """Differences of the sources that have one in every target."""
    having = [name for name in names if all(name in each.differences for each in comparisons)]
    return {
        name: {
            measure: Measure.mean([each.differences[name][measure] for each in comparisons])
            for measure in DIFFERENCES
        }
        for name in having
    }


def _each(measure: Measure, *, mean: bool = False) -> dict[str, dict[str, float]]:
    """Value and interval of every number of glimpses; the last place is the mean over them if `mean`."""
    low, high = measure.interval()
    count = len(measure.value)
    keys = [str(t) for t in range(1, count + 1 - mean)] + ["mean"] * mean
    return {
        key: {"value": float(measure.value[n]), "low": float(low[n]), "high": float(high[n])}
        for n, key in enumerate(keys)
    }
