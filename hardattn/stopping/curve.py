"""The accuracy-compute curve of stopping rules, on images that were all looked at T times.

Shapes: B images, T glimpses, K classes, P points, R resamples of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from boed.comparison.measures import calibration_measure, mean_measure
from data.errors import SettingsError
from hardattn.flops import Costs
from hardattn.stopping.rules import RULES, Point, Predictions, Stops, rules_for

Settings = Sequence[tuple[str, float]]
"""Rules, each with a threshold."""
BRIEF = ("rule", "threshold", "mean_glimpses", "mflops", "accuracy", "nll")


def thresholds_of(seen: Predictions) -> Settings:
    """Every rule with the thresholds that are worth trying, by what it predicts at validation images."""
    return [(rule, value) for rule in rules_for(seen) for value in RULES[rule].thresholds(seen)]


def brief_curve(seen: Predictions, labels: Tensor, costs: Costs) -> list[dict[str, Any]]:
    """The sweep of validation images that is kept with a network: `BRIEF` of every point."""
    found = [_point(seen, labels, costs, *setting)[0] for setting in thresholds_of(seen)]
    return [{name: getattr(point, name) for name in BRIEF} for point in found]


def curve(
    seen: Predictions, labels: Tensor, settings: Settings, costs: Costs, pixels: Tensor, counts: np.ndarray
) -> list[Point]:
    """All figures at each rule and threshold.

    Args:
        seen: what was predicted at B images.
        labels: (B,).
        settings: P of them.
        costs: of a glimpse and of what the rules need.
        pixels: (B, T) inside any of the first t glimpses.
        counts: (R, B) how often each image is in each resample, see `boed.comparison.measures.resampling`.
    """
    found = [_point(seen, labels, costs, *setting) for setting in settings]
    ends = intervals([stops for _, stops in found], labels, counts)
    return [
        replace(point, intervals=between, **_figures(stops, labels, pixels))
        for (point, stops), between in zip(found, ends, strict=True)
    ]


def _point(
    seen: Predictions, labels: Tensor, costs: Costs, rule: str, threshold: float
) -> tuple[Point, Stops]:
    stops = RULES[rule].stops(seen, threshold)
    glimpses = stops.taken.double().mean().item()
    made = RULES[rule]
    spent = costs.spent(stops.taken, seen.log_probs.shape[1], made.head, made.classifies).mean().item()
    right = _right(stops, labels).mean().item()
    return Point(rule, threshold, glimpses, spent, right, nll_loss(stops.log_probs, labels).item()), stops


def _figures(stops: Stops, labels: Tensor, pixels: Tensor) -> dict[str, Any]:
    """Of a point, what is not brief."""
    right, confidence = _right(stops, labels), stops.log_probs.exp().amax(1)
    alone = np.ones((1, len(labels)))
    calibration = calibration_measure(confidence[None, :, None], right[None, :, None], alone)
    inside = pixels.gather(1, stops.taken[:, None] - 1).double().mean().item()
    recall = torch.stack([right[labels == name].mean() for name in labels.unique()])
    return {
        "balanced_accuracy": recall.mean().item(),
        "calibration_error": float(calibration.value[0, 0]),
        "pixels": inside,
        "stopped_at": torch.bincount(stops.taken - 1, minlength=pixels.shape[1]).tolist(),
    }


def intervals(found: Sequence[Stops], labels: Tensor, counts: np.ndarray) -> list[dict[str, list[float]]]:
    """For each way to stop: the ends of the 95 % intervals of its glimpses, accuracy and NLL.

    Args:
        found: of B images.
        labels: (B,).
        counts: (R, B) how often each image is in each resample.
    """
    if not found:
        return []
    nll = [nll_loss(its.log_probs, labels, reduction="none").double() for its in found]
    values = [
        torch.stack([its.taken.double(), _right(its, labels), own], 1)
        for its, own in zip(found, nll, strict=True)
    ]
    low, high = mean_measure(torch.stack(values), counts).interval()  # (P, 3)
    names = ("mean_glimpses", "accuracy", "nll")
    return [
        {name: [float(ends[0]), float(ends[1])] for name, *ends in zip(names, *pair, strict=True)}
        for pair in zip(low, high, strict=True)
    ]


def _right(stops: Stops, labels: Tensor) -> Tensor:
    return (stops.log_probs.argmax(1) == labels).double()


def settings_within(
    points: Sequence[Mapping[str, Any]], rules: Sequence[str], budget: Mapping[str, float]
) -> Settings:
    """Of each rule the threshold that is best on validation images within a budget.

    The best has the smallest NLL: of a few hundred images that is the steadier figure.

    Args:
        points: of `brief_curve`.
        rules: which are wanted; those that never stay within it are left out.
        budget: largest "mean_glimpses" or "mflops".

    Raises:
        SettingsError: no point of any rule is within the budget.
    """
    wanted = [point for point in points if point["rule"] in rules]
    inside = [point for point in wanted if all(point[name] <= most for name, most in budget.items())]
    if not inside:
        least = {name: min(point[name] for point in wanted) for name in budget}
        name = next((name for name, most in budget.items() if least[name] > most), next(iter(budget)))
        raise SettingsError(
            f"expected a budget of at least {least[name]:.3g} {name.replace('_', ' ')}, found "
            f"{budget[name]:g}; raise it"
        )
    met = dict.fromkeys(point["rule"] for point in inside)
    best = [min((p for p in inside if p["rule"] == rule), key=itemgetter("nll")) for rule in met]
    return [(point["rule"], point["threshold"]) for point in best]
