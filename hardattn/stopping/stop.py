"""When to stop looking, as small objects: a rule of `hardattn.stopping.rules` with its threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from operator import itemgetter
from typing import Any

from data.errors import SettingsError
from hardattn.model.heads import EPSILON, PONDER_COSTS
from hardattn.stopping.curve import settings_within
from hardattn.stopping.registry import RULES

WITH_COST = ("act", "stochastic")


@dataclass(frozen=True, eq=False)
class Stop:
    """A stopping rule and its threshold; `Fixed`, `Gain` and the others below are the rules of this project.

    Args:
        rule: a name of `hardattn.stopping.registry.RULES`.
        threshold: in the unit of the rule.

    Raises:
        SettingsError: no such rule, or a threshold that it does not take.

    >>> Gain(0.02) == Stop("gain", 0.02), Stop.parsed("gain=0.02") == Gain(0.02)
    (True, True)
    """

    rule: str
    threshold: float

    def __post_init__(self) -> None:
        RULES.require(self.rule)
        object.__setattr__(self, "threshold", _number(self.rule, self.threshold))
        if self.rule == "fixed" and not (self.threshold >= 1 and self.threshold.is_integer()):
            raise SettingsError(f"expected a whole number of glimpses from 1 on, found {self.threshold:g}")
        if self.rule == "halting" and not 0 <= self.threshold <= 1:
            raise SettingsError(f"expected a sum of probabilities from 0 to 1, found {self.threshold:g}")
        if self.rule in WITH_COST and self.threshold not in PONDER_COSTS:
            costs = ", ".join(f"{cost:g}" for cost in PONDER_COSTS)
            raise SettingsError(f"expected {self.rule} with a cost of {costs}; found {self.threshold:g}")

    def require_within(self, steps: int) -> None:
        """Raises SettingsError for more glimpses than the T of training."""
        if self.rule == "fixed" and self.threshold > steps:
            raise SettingsError(
                f"expected at most the {steps} glimpses of training, found {self.threshold:g}"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stop) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return f"{self.rule}={repr(self.threshold).removesuffix('.0')}"

    @classmethod
    def parsed(cls, text: str) -> Stop:
        """The rule of RULE=THRESHOLD.

        Raises:
            SettingsError: it is something else.
        """
        rule, _, threshold = text.partition("=")
        RULES.require(rule)
        try:
            return Stop(rule, float(threshold))
        except ValueError:
            raise SettingsError(f"expected RULE=THRESHOLD with a number, found {text!r}") from None

    @classmethod
    def within(
        cls, points: Sequence[Mapping[str, Any]], *, glimpses: float, rules: Sequence[str] = ()
    ) -> Stop:
        """What does best on validation images with so many glimpses, in the mean over them.

        Args:
            points: the sweep that is noted with the weights, see `hardattn.stopping.curve.brief_curve`.
            glimpses: the largest mean.
            rules: to choose from; all of them without.

        Raises:
            SettingsError: no rule takes so few.
        """
        for rule in rules:
            RULES.require_name(rule)
        chosen = settings_within(points, list(rules or RULES), {"mean_glimpses": glimpses})
        known = {(point["rule"], point["threshold"]): point for point in points}
        best = min((known[setting] for setting in chosen), key=itemgetter("nll"))
        return Stop(best["rule"], best["threshold"])


def _number(rule: str, threshold: object) -> float:
    """A threshold as a number; infinity, at which a rule stops at once or never, is one but for `fixed`."""
    number = threshold if isinstance(threshold, Real) and not isinstance(threshold, bool) else math.nan
    if math.isnan(number) or (rule == "fixed" and math.isinf(number)):
        raise SettingsError(f"expected a number as threshold of {rule}, found {threshold!r}")
    return float(number)


class Fixed(Stop):
    """After so many glimpses at every image.

    >>> str(Fixed(3))
    'fixed=3'
    """

    def __init__(self, glimpses: int) -> None:
        super().__init__("fixed", glimpses)


class Gain(Stop):
    """Before the first glimpse, from the second on, that is predicted to gain less than so many nats."""

    def __init__(self, nats: float) -> None:
        super().__init__("gain", nats)


class AccuracyGain(Stop):
    """Before the first glimpse predicted to raise the probability of being right by less than so much."""

    def __init__(self, rise: float) -> None:
        super().__init__("accuracy-gain", rise)


class Entropy(Stop):
    """As soon as the entropy of the class is below so many nats."""

    def __init__(self, nats: float) -> None:
        super().__init__("entropy", nats)


class Confidence(Stop):
    """As soon as the probability that the likeliest class is wrong is below `error`."""

    def __init__(self, error: float) -> None:
        super().__init__("confidence", error)


class AdaptiveTime(Stop):
    """Adaptive computation time by the detached head of a ponder cost, in nats for each glimpse."""

    def __init__(self, cost: float) -> None:
        super().__init__("act", cost)


class Halting(Stop):
    """As soon as the halting probabilities sum to `reach`, of a network that was trained to halt (0.99)."""

    def __init__(self, reach: float = 1 - EPSILON) -> None:
        super().__init__("halting", reach)


class Stochastic(Stop):
    """With the probability of the head of a ponder cost, in nats for each glimpse."""

    def __init__(self, cost: float) -> None:
        super().__init__("stochastic", cost)
