"""What a benchmark found, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from boed.comparison.compare import Comparison
from boed.comparison.verdict import DESIGN, interval, verdict
from hardattn.experiments.benchmark.run import Benchmark
from hardattn.experiments.frontier.names import looks
from hardattn.experiments.frontier.pareto import FrontierPoint, pareto, within
from hardattn.experiments.frontier.result import Frontier


def answer(found: Benchmark) -> str:
    """What accuracy costs what, with and without attention, and whether looking adaptively pays.

    The points are those that validation images choose; accuracies are of test images, with 95 % intervals.
    """
    result = found.frontier
    looking, seeing = with_attention(result), without_attention(result)
    return (
        f"On {result.dataset} {result.target}, {_costs(looking[-1])} with attention, which sees "
        f"{100 * looking[-1].pixels / result.image_pixels:.1f} % of the pixels; {_costs(seeing[-1])} without "
        f"({seeing[-1].name}), and {_as_cheap(seeing, looking[-1])}; {adaptive(found.comparison)}."
    )


def with_attention(result: Frontier) -> list[FrontierPoint]:
    """The frontier of all families that look."""
    return pareto([point for point in result.points if looks(point.family)])


def without_attention(result: Frontier) -> list[FrontierPoint]:
    """The frontier of all networks on the whole image."""
    return pareto([point for point in result.points if not looks(point.family)])


def _costs(point: FrontierPoint) -> str:
    low, high = 100 * point.test_low, 100 * point.test_high
    right = f"{100 * point.test_accuracy:.1f} % right ({low:.1f} to {high:.1f})"
    return f"{right} cost {point.mflops:.3g} MFLOPs"


def _as_cheap(seeing: Sequence[FrontierPoint], looking: FrontierPoint) -> str:
    """The best network on the whole image that costs no more than attention."""
    other = within(seeing, looking.valid_mflops)
    if other is None:
        return "none of these is as cheap as attention"
    return f"{100 * other.test_accuracy:.1f} % for what attention costs"


def adaptive(comparison: Comparison) -> str:
    """Whether designs of an image's own are better than one order for all."""
    differences = comparison.differences[DESIGN]
    accuracy, nll = (differences[name].at(comparison.pixels.shape[1]) for name in ("accuracy", "nll"))
    pays = "pays" if verdict(accuracy, nll) == "beats the fixed order" else "does not pay"
    return (
        f"looking adaptively {pays}: designs of each image's own differ from one order for all by "
        f"{interval(accuracy, 100, 1, sign='+')} points of accuracy and {interval(nll, sign='+')} nats"
    )
