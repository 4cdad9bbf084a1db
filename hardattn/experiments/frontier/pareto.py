"""Points of accuracy against compute, and the frontier that validation images choose among them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FrontierPoint:
    """One way to classify an image: a network, with all it can do or stopped sooner by a rule.

    Attributes:
        family, name: of the network.
        rule, threshold: when it stops, see `hardattn.evaluation.Evaluation.curve`.
        mflops: per test image, a multiply-add being 2; averaging an image down costs nothing here.
        pixels, values_read, pixels_read: that it sees of an image and reads for that, per test image, see
            `data.readout.read_by_image`; None: measured by a version that did not count.
        valid_mflops, valid_accuracy: on the validation images, which choose.
        test_accuracy, test_low, test_high: on the test images, with the 95 % interval of resampled images.
        test_nll: in nats.
        seconds: of the network's training.
        run: its folder.
    """

    family: str
    name: str
    rule: str
    threshold: float
    mflops: float
    pixels: float
    valid_mflops: float
    valid_accuracy: float
    test_accuracy: float
    test_low: float
    test_high: float
    test_nll: float
    seconds: float
    run: str
    values_read: float | None = None
    pixels_read: float | None = None


def pareto(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """The points that no cheaper one equals, on the validation images; compute and accuracy both increase."""
    kept = list[FrontierPoint]()
    for point in sorted(points, key=lambda p: (p.valid_mflops, -p.valid_accuracy)):
        if not kept or point.valid_accuracy > kept[-1].valid_accuracy:
            kept.append(point)
    return kept


def within(frontier: Sequence[FrontierPoint], mflops: float) -> FrontierPoint | None:
    """The best point of a frontier for a budget: the last that costs no more, on the validation images."""
    affordable = bisect_right([point.valid_mflops for point in frontier], mflops)
    return frontier[affordable - 1] if affordable else None


def frontiers(points: Sequence[FrontierPoint]) -> dict[str, list[FrontierPoint]]:
    """Family -> its frontier, in the order in which they appear."""
    return {
        family: pareto([point for point in points if point.family == family])
        for family in dict.fromkeys(point.family for point in points)
    }
