"""What a benchmark found, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy.stats import binomtest

from boed.comparison.compare import Comparison
from boed.comparison.verdict import DESIGN, interval, verdict
from hardattn.experiments.benchmark.copies import warning
from hardattn.experiments.benchmark.run import Benchmark
from hardattn.experiments.frontier.names import looks
from hardattn.experiments.frontier.pareto import FrontierPoint, pareto, within
from hardattn.experiments.frontier.result import Frontier

PAYS = {"beats the fixed order": "pays", "is worse than the fixed order": "does not pay"}
"""What differences amount to -> what follows; of few images nothing does."""
MANY = 20  # epochs after which small networks have learned what they will


def answer(found: Benchmark) -> str:
    """What accuracy costs what, with and without attention, and whether looking adaptively pays.

    The points are those that validation images choose; accuracies are of test images, with 95 % intervals.
    """
    result = found.frontier
    looking, seeing = with_attention(result)[-1], without_attention(result)
    return (
        f"{_task(found)}: {_costs(looking, found.images)} with attention, which sees "
        f"{100 * looking.pixels / result.image_pixels:.1f} % of the pixels; "
        f"{_costs(seeing[-1], found.images)} without "
        f"({seeing[-1].name}){_as_cheap(seeing, looking, found.images)}; {adaptive(found.comparison)}"
        f"{_trained(found.epochs)}{_copied(found)}."
    )


def _trained(epochs: Mapping[str, Sequence[float]]) -> str:
    """How long, so that nobody takes a network that was hardly trained for a bad one."""
    looking, seeing = epochs["with"], epochs["without"]
    few = ": more --minutes tell more" if min(*looking, *seeing) < MANY else ""
    return f"; attention was trained for {_range(looking)} epochs, the others for {_range(seeing)}{few}"


def _range(values: Sequence[float]) -> str:
    low, high = (f"{value:.0f}" if value >= 1 else f"{value:.1f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _copied(found: Benchmark) -> str:
    """That figures are too good, where they are."""
    return f"; {warning(found.copies, found.images)}" if found.copies else ""


def _task(found: Benchmark) -> str:
    """On what, and what is no achievement."""
    name, share = found.most_frequent
    return (
        f"On {found.images:,} test photographs of {found.name} in {len(found.classes)} classes, of which "
        f"always to say {name} gets {100 * share:.1f} % right"
    )


def with_attention(result: Frontier) -> list[FrontierPoint]:
    """The frontier of all families that look."""
    return pareto([point for point in result.points if looks(point.family)])


def without_attention(result: Frontier) -> list[FrontierPoint]:
    """The frontier of all networks on the whole image."""
    return pareto([point for point in result.points if not looks(point.family)])


def _costs(point: FrontierPoint, images: int) -> str:
    """What is right, and what it costs for a sensor that bins, and where software averages."""
    dearer = "" if point.software_mflops is None else f" ({point.software_mflops:.3g} if software averages)"
    return f"{_right(point, images, 'right ')} cost {point.mflops:.3g} MFLOPs{dearer}"


def _right(point: FrontierPoint, images: int, words: str = "") -> str:
    """Accuracy with Wilson's interval, which is one also where all of few images are right."""
    right = round(point.test_accuracy * images)
    low, high = binomtest(right, images).proportion_ci(method="wilson")
    return f"{100 * point.test_accuracy:.1f} % {words}({100 * low:.1f} to {100 * high:.1f})"


def _as_cheap(seeing: Sequence[FrontierPoint], looking: FrontierPoint, images: int) -> str:
    """The best network on the whole image that costs no more than attention, where it is another."""
    other = within(seeing, looking.valid_mflops)
    if other is None:
        return ", none of which is as cheap as attention"
    if other is seeing[-1]:
        return ", for less than attention" if other.mflops < looking.mflops else ", for what attention costs"
    return f", {_right(other, images)} for at most what attention costs ({other.name})"


def adaptive(comparison: Comparison) -> str:
    """Whether designs of an image's own are better than one order for all."""
    differences = comparison.differences[DESIGN]
    if not any(each.value.any() for each in differences.values()):
        return "looking adaptively does not pay: the designs of all images are one and the same order"
    accuracy, nll = (differences[name].at(comparison.pixels.shape[1]) for name in ("accuracy", "nll"))
    pays = PAYS.get(verdict(accuracy, nll), "is not shown to pay")
    judged = sum(comparison.images.values())
    return (
        f"looking adaptively {pays}: designs of each image's own, of {judged:,} other photographs, differ "
        f"from one order for all by {interval(accuracy, 100, 1, sign='+')} points of accuracy and "
        f"{interval(nll, sign='+')} nats"
    )
