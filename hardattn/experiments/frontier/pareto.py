"""Points of accuracy against compute, and the frontiers that validation images choose among them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from hardattn.experiments.frontier.names import pooled

BINNING, SOFTWARE = COUNTS = ("binning", "software")
"""How compute is counted: for a sensor that bins pixels, or with what software adds up to average them."""


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
        software_mflops, valid_software_mflops: the same with one for every addition of an average; None: not
            counted.
        seed, learning_rate, iterations: of the training; a rate of None is the recipe's.
        capped: whether it was ended by the number of iterations and not by its patience; None: it had none.
        row: of `hardattn.experiments.frontier.measuring.RIGHT` in its folder.
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
    software_mflops: float | None = None
    valid_software_mflops: float | None = None
    seed: int = 0
    learning_rate: float | None = None
    iterations: int | None = None
    capped: bool | None = None
    row: int | None = None

    def cost(self, count: str = BINNING) -> float:
        """MFLOPs per validation image, by which budgets are met; one of `COUNTS`."""
        counted = self.valid_mflops if count == BINNING else self.valid_software_mflops
        return self.valid_mflops if counted is None else counted


def pareto(points: Sequence[FrontierPoint], count: str = BINNING) -> list[FrontierPoint]:
    """The points that no cheaper one equals, on the validation images; compute and accuracy both increase."""
    kept = list[FrontierPoint]()
    for point in sorted(points, key=lambda p: (p.cost(count), -p.valid_accuracy)):
        if not kept or point.valid_accuracy > kept[-1].valid_accuracy:
            kept.append(point)
    return kept


def within(frontier: Sequence[FrontierPoint], mflops: float, count: str = BINNING) -> FrontierPoint | None:
    """The best point of a frontier for a budget: the last that costs no more, on the validation images."""
    affordable = bisect_right([point.cost(count) for point in frontier], mflops)
    return frontier[affordable - 1] if affordable else None


def frontiers(points: Sequence[FrontierPoint], count: str = BINNING) -> dict[str, list[FrontierPoint]]:
    """Family -> its frontier, in the order in which they appear; of points of one seed."""
    return {
        family: pareto([point for point in points if point.family == family], count)
        for family in dict.fromkeys(point.family for point in points)
    }


@dataclass(frozen=True)
class Choice:
    """What validation chooses of a family, or of several together, at any budget.

    Attributes:
        frontiers: of each seed.
        count: by which they are.
    """

    frontiers: Sequence[Sequence[FrontierPoint]]
    count: str

    def at(self, budget: float) -> list[FrontierPoint] | None:
        """A point of each seed for a budget in MFLOPs; None: some seed has none so cheap."""
        met = [within(frontier, budget, self.count) for frontier in self.frontiers]
        return None if None in met else [point for point in met if point is not None]

    def accuracy(self, budget: float) -> float | None:
        """Mean test accuracy over seeds; None where there is no choice."""
        met = self.at(budget)
        return None if met is None else fmean(point.test_accuracy for point in met)

    def costs(self, most: float) -> list[float]:
        """Up to `most` MFLOPs, increasing, every budget at which the choice changes."""
        known = {point.cost(self.count) for frontier in self.frontiers for point in frontier}
        return sorted(cost for cost in known if cost <= most)


def choices(points: Sequence[FrontierPoint], count: str = BINNING) -> dict[str, Choice]:
    """Family, or several together (see `pooled`) -> what validation chooses."""
    seeds = dict.fromkeys(point.seed for point in points)
    found = dict[str, Choice]()
    for name, members in pooled(dict.fromkeys(point.family for point in points)).items():
        own = [[p for p in points if p.seed == seed and p.family in members] for seed in seeds]
        found[name] = Choice([pareto(of_seed, count) for of_seed in own], count)
    return found
