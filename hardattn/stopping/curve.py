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

from data.errors import SettingsError
from hardattn.stopping.figures import Outcome, figures, right_at
from hardattn.stopping.flops import Costs
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Point, Predictions, Stops, rules_for

Settings = Sequence[tuple[str, float]]
"""Rules, each with a threshold."""
BRIEF = ("rule", "threshold", "mean_glimpses", "mflops", "accuracy", "nll")


def thresholds_of(predicted: Predictions) -> Settings:
    """Every rule with the thresholds that are worth trying, by what it predicts at validation images."""
    return [(rule, value) for rule in rules_for(predicted) for value in RULES[rule].thresholds(predicted)]


def brief_curve(predicted: Predictions, labels: Tensor, costs: Costs) -> list[dict[str, Any]]:
    """The sweep of validation images that is kept with a network: `BRIEF` of every point."""
    settings = thresholds_of(predicted)
    points = [_brief(*each, outcome_at(predicted, costs, {}, *each), labels) for each in settings]
    return [{name: getattr(point, name) for name in BRIEF} for point in points]


def curve(
    predicted: Predictions,
    labels: Tensor,
    settings: Settings,
    costs: Costs,
    read: Mapping[str, Tensor],
    counts: np.ndarray,
) -> list[Point]:
    """All figures at each rule and threshold.

    Args:
        predicted: at B images.
        labels: (B,).
        settings: P of them.
        costs: of a glimpse and of what the rules need.
        read: (B, T) each of the first t glimpses, see `data.readout.read_by_image`.
        counts: (R, B) how often each image is in each resample, see `data.measures.resampling`.
    """
    outcomes = [outcome_at(predicted, costs, read, *setting) for setting in settings]
    measured = zip(settings, outcomes, figures(outcomes, labels, counts), strict=True)
    steps = predicted.log_probs.shape[1]
    return [
        replace(_brief(*setting, its, labels), stopped_at=stopped_at(its.stops.taken, steps), **known)
        for setting, its, known in measured
    ]


def outcome_at(
    predicted: Predictions, costs: Costs, read: Mapping[str, Tensor], rule: str, threshold: float
) -> Outcome:
    """What a rule with a threshold makes of B images, see `curve`."""
    made = RULES[rule]
    stops = made.stops(predicted, threshold)
    spent = costs.spent(stops.taken, predicted.log_probs.shape[1], made.head, made.classifies)
    return Outcome(stops, spent, _until(stops, read))


def stopped_at(taken: Tensor, steps: int) -> list[int]:
    """How many images stopped after 1, 2, ..., `steps`, of what each took (B,).

    >>> stopped_at(torch.tensor([2, 1, 2]), 3)
    [1, 2, 0]
    """
    return torch.bincount(taken - 1, minlength=steps).tolist()


def _brief(rule: str, threshold: float, its: Outcome, labels: Tensor) -> Point:
    """The brief figures."""
    return Point(
        rule,
        threshold,
        mean_glimpses=its.stops.taken.double().mean().item(),
        mflops=its.mflops.mean().item(),
        accuracy=right_at(its.stops, labels).mean().item(),
        nll=nll_loss(its.stops.log_probs, labels).item(),
    )


def _until(stops: Stops, read: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """(B,) of the glimpses that were taken, of what the first t (B, T) read."""
    return {name: each.gather(1, stops.taken[:, None] - 1).squeeze(1) for name, each in read.items()}


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
