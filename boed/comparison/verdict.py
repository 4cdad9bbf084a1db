"""What a comparison of sources of sequences says to people: a table and a sentence."""

from __future__ import annotations

from boed.comparison.compare import REFERENCE, Comparison
from data.measures import Measure

NOT_ADAPTIVE = ("fixed-order", "random")
DESIGN = "design"


def table(comparison: Comparison) -> str:
    """Figures of every source after each glimpse, with 95 % intervals."""
    counts = ", ".join(f"{count} images of {target}" for target, count in comparison.images.items())
    head = f"{'source':<24} {'t':>2}  {'accuracy, %':<23} {'NLL, nats':<24} {'calibration error':<24} pixels"
    lines = [f"{comparison.dataset}: {counts}", head]
    for s, name in enumerate(comparison.names):
        figures = [comparison.measures[m].at(s) for m in ("accuracy", "nll", "calibration_error")]
        for t in range(comparison.pixels.shape[1]):
            accuracy, nll, error = (figure.at(t) for figure in figures)
            lines.append(
                f"{name:<24} {t + 1:>2}  {interval(accuracy, 100, 1):<23} {interval(nll):<24} "
                f"{interval(error):<24} {comparison.pixels[s, t]:.0f}"
            )
    took = [
        f"{name} {seconds:.3g} s per sequence"
        for name, seconds in zip(comparison.names, comparison.seconds, strict=True)
        if seconds is not None
    ]
    if bool((comparison.pixels > comparison.values).any()):  # of squares that are averaged down
        values = ", ".join(map(str, comparison.values))
        lines.append(f"values per colour channel of a sensor that bins, after each glimpse: {values}")
    return "\n".join([*lines, *([f"time: {', '.join(took)}"] if took else [])])


def sentence(comparison: Comparison) -> str:
    """Whether the adaptive design beats the fixed order on these images, with the intervals that say so.

    It beats it when the interval of the difference of accuracy, averaged over the numbers of glimpses, lies
    above 0 or that of NLL below 0, and neither lies on the other side. Without a design the other adaptive
    sources are spoken of.
    """
    where = f"On {comparison.dataset} {', '.join(comparison.images)}"
    if comparison.reference() is None:
        return f"{where} there is no fixed order to compare with among {', '.join(comparison.names)}."
    kinds = dict(zip(comparison.names, comparison.kinds, strict=True))
    designs = [name for name in comparison.differences if kinds[name] == DESIGN]
    others = [name for name in comparison.differences if kinds[name] not in NOT_ADAPTIVE]
    if not designs and not others:
        return f"{where} there is no adaptive design to compare with the fixed order."
    said = [_about(name, kinds[name], comparison) for name in designs or others]
    several = comparison.kinds.count(REFERENCE) > 1
    which = f" The fixed order is {comparison.reference()}." if several else ""
    return f"{where} {'; '.join(said)}.{which}"


def _about(name: str, kind: str, comparison: Comparison) -> str:
    steps = comparison.pixels.shape[1]
    accuracy, nll = (comparison.differences[name][m].at(steps) for m in ("accuracy", "nll"))
    subject = "the adaptive design" if name == DESIGN else name
    if kind == DESIGN and name != DESIGN:
        subject = f"the adaptive {name}"
    return (
        f"{subject} {verdict(accuracy, nll)}: averaged over 1 to {steps} glimpses its accuracy differs by "
        f"{interval(accuracy, 100, 1, sign='+')} points and its NLL by {interval(nll, sign='+')} nats "
        "(95 % intervals)"
    )


def verdict(accuracy: Measure, nll: Measure) -> str:
    """What differences of accuracy and NLL from the fixed order amount to."""
    (lowest, highest), (low, high) = accuracy.interval(), nll.interval()
    better, worse = bool(lowest > 0 or high < 0), bool(highest < 0 or low > 0)
    if better and worse:
        return "beats the fixed order in one figure and loses in the other"
    if better:
        return "beats the fixed order"
    return "is worse than the fixed order" if worse else "does not beat the fixed order"


def interval(measure: Measure, factor: float = 1.0, digits: int = 3, *, sign: str = "") -> str:
    """A figure with its interval.

    >>> import numpy as np
    >>> interval(Measure(np.array(0.5), np.array([0.5, 0.5])), factor=100, digits=1)
    '50.0 (50.0 to 50.0)'
    """
    low, high = measure.interval()
    words = [f"{factor * float(v):{sign}.{digits}f}" for v in (measure.value, low, high)]
    return "{} ({} to {})".format(*words)
