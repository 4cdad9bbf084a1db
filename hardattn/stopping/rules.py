"""When to stop looking: rules that turn what was predicted along the way into glimpses per image.

Shapes: B images, T glimpses, K classes, C ponder costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from hardattn.model.halting import after_each, halts_at
from hardattn.model.heads import EPSILON, PONDER_COSTS, Said, after, halting, require_said, stopping
from hardattn.model.rollout import Rollout
from hardattn.stopping.registry import RULES

COUNT = 21  # thresholds of a rule
REACHES = (*(tenth / 10 for tenth in range(1, 10)), 0.95, 1 - EPSILON)  # of halting; trained for the last
SEED = 0  # of the draws of `stochastic`


@dataclass(frozen=True)
class Predictions:
    """What a network predicts at B images that are all looked at T times; a rule says where it had stopped.

    Attributes:
        log_probs: (B, T, K) of the classes after each glimpse.
        said: by the stopping heads before each glimpse, (B, T, ...) by the name of the head.
    """

    log_probs: Tensor
    said: Said = field(default_factory=dict)

    @classmethod
    def of(cls, rollout: Rollout) -> Predictions:
        """What a network predicted along a rollout."""
        said = {head: values.float() for head, values in rollout.said.items()}
        return cls(rollout.logits.float().log_softmax(-1), said)


@dataclass(frozen=True)
class Stops:
    """What a rule makes of B images.

    Attributes:
        taken: (B,) glimpses, 1 to T.
        log_probs: (B, K) of the classes, as the rule predicts them.
    """

    taken: Tensor
    log_probs: Tensor


@dataclass(frozen=True)
class Point:
    """One point of the accuracy-compute curve, means over images; what was not measured is None.

    Attributes:
        rule, threshold: where to stop, see `RULES`.
        mean_glimpses, mflops: per image; a multiply-add is 2, and what the rule itself needs is counted in.
        accuracy, nll: of the prediction where it stopped; nats.
        balanced_accuracy: mean over classes of the share of their images that are right.
        calibration_error: expected calibration error of the largest class probability.
        pixels, values_read, pixels_read, additions: see `data.readout.read_by_image`.
        stopped_at: how many images were looked at once, twice, ..., T times; of a network with exits, how
            many left at each.
        intervals: name of a figure above -> lower and upper end of the central 95 % of bootstrap resamples of
            the images.
    """

    rule: str
    threshold: float
    mean_glimpses: float
    mflops: float
    accuracy: float
    nll: float
    balanced_accuracy: float | None = None
    calibration_error: float | None = None
    pixels: float | None = None
    values_read: float | None = None
    pixels_read: float | None = None
    additions: float | None = None
    stopped_at: Sequence[int] | None = None
    intervals: Mapping[str, Sequence[float]] | None = None


@dataclass(frozen=True)
class Rule:
    """One way to stop.

    Attributes:
        label: for people.
        stops: predictions and a threshold -> where it stops.
        thresholds: predictions at validation images -> thresholds worth trying.
        head: that it needs, what a network says by this name, see `hardattn.model.heads`; or "".
        classifies: whether it needs the class after every glimpse, and not after the last one alone.
    """

    label: str
    stops: Callable[[Predictions, float], Stops]
    thresholds: Callable[[Predictions], list[float]]
    head: str
    classifies: bool


def fixed(predicted: Predictions, threshold: float) -> Stops:
    """`threshold` glimpses at every image.

    >>> fixed(Predictions(torch.zeros(2, 5, 3)), 3).taken.tolist()
    [3, 3]
    """
    return _after(torch.full((len(predicted.log_probs),), int(threshold)), predicted)


def until_below(score: Callable[[Predictions], Tensor], predicted: Predictions, threshold: float) -> Stops:
    """Stops before the first glimpse, from the second on, with a score below the threshold.

    Args:
        score: gives (B, T) values before each glimpse.

    >>> gains = torch.tensor([[0.0, 0.3, 0.1, 0.3], [0.0, 0.1, 0.3, 0.3]])
    >>> until_below(gain, Predictions(torch.zeros(2, 4, 3), {"gain": gains}), 0.2).taken.tolist()
    [2, 1]
    """
    goes_on = (score(predicted)[:, 1:] >= threshold).long().cumprod(1)
    return _after(1 + goes_on.sum(1), predicted)


def adaptive_time(predicted: Predictions, cost: float) -> Stops:
    """Adaptive computation time of the head of this ponder cost, see `hardattn.model.heads.halting`.

    Its prediction is the weighted mean of the class probabilities after each glimpse that it takes.
    """
    weights, taken, _ = halting(after(require_said(predicted.said, "act"))[:, PONDER_COSTS.index(cost)])
    return Stops(taken, (weights[..., None].double() * predicted.log_probs.double().exp()).sum(1).log())


def halted(predicted: Predictions, reach: float) -> Stops:
    """Where the halting probabilities of a network that halts sum to `reach`; it was trained for 0.99.

    What it predicts there is the mean over its glimpses, see `hardattn.model.halting.mean_field`.
    """
    return _after(halts_at(after_each(require_said(predicted.said, "halting")), reach), predicted)


def at_random(predicted: Predictions, cost: float) -> Stops:
    """Stops with the probability of the head of this cost; image n is drawn by number n of one seed."""
    stop = after(require_said(predicted.said, "stochastic"))[:, PONDER_COSTS.index(cost)]
    chances = stopping(stop).double()
    draws = torch.rand(len(chances), 1, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    return _after(1 + (chances.cumsum(1)[:, :-1] <= draws).sum(1), predicted)


def gain(predicted: Predictions) -> Tensor:
    """(B, T) information gain predicted before each glimpse, in nats."""
    return require_said(predicted.said, "gain")


def accuracy_gain(predicted: Predictions) -> Tensor:
    """(B, T) rise of the probability of being right that is predicted before each glimpse."""
    return require_said(predicted.said, "accuracy_gain")


def entropy(predicted: Predictions) -> Tensor:
    """(B, T) entropy of the class before each glimpse, but for the first, in nats."""
    return torch.special.entr(predicted.log_probs.exp()).sum(-1).roll(1, 1)


def doubt(predicted: Predictions) -> Tensor:
    """(B, T) probability that the likeliest class is wrong, before each glimpse, but for the first."""
    return 1 - predicted.log_probs.exp().amax(-1).roll(1, 1)


def quantiles(score: Callable[[Predictions], Tensor], predicted: Predictions) -> list[float]:
    """Thresholds that spread the stopping: quantiles of the scores from glimpse 2 on; none if T is 1."""
    later = score(predicted)[:, 1:].double().flatten()
    if len(later) == 0:
        return []
    return torch.quantile(later.cpu(), torch.linspace(0, 1, COUNT, dtype=torch.float64)).unique().tolist()


def counts(predicted: Predictions) -> list[float]:
    """Every number of glimpses."""
    return [float(t) for t in range(1, predicted.log_probs.shape[1] + 1)]


def costs(predicted: Predictions) -> list[float]:
    """The ponder costs in nats per glimpse, of which each has a head of its own; none if T is 1."""
    return list(PONDER_COSTS) if predicted.log_probs.shape[1] > 1 else []


def reaches(predicted: Predictions) -> list[float]:
    """Sums of halting probabilities; none if T is 1."""
    return list(REACHES) if predicted.log_probs.shape[1] > 1 else []


def _scored(label: str, score: Callable[[Predictions], Tensor], head: str = "") -> Rule:
    return Rule(label, partial(until_below, score), partial(quantiles, score), head, classifies=not head)


_RULES: Mapping[str, Rule] = {
    "fixed": Rule("fixed number of glimpses", fixed, counts, "", False),
    "gain": _scored("until the predicted gain is small", gain, "gain"),
    "accuracy-gain": _scored("until the predicted gain in accuracy is small", accuracy_gain, "accuracy_gain"),
    "entropy": _scored("until the entropy is small", entropy),
    "confidence": _scored("until the probability of an error is small", doubt),
    "act": Rule("adaptive computation time, a detached head", adaptive_time, costs, "act", True),
    "halting": Rule("adaptive computation time, end to end", halted, reaches, "halting", False),
    "stochastic": Rule("with a learned probability", at_random, costs, "stochastic", False),
}
for _name, _rule in _RULES.items():
    RULES.register(_name)(_rule)


def rules_for(predicted: Predictions) -> list[str]:
    """The rules that can stop a network: those whose head it has, and those that need none."""
    return [name for name, rule in RULES.items() if not rule.head or rule.head in predicted.said]


def _after(taken: Tensor, predicted: Predictions) -> Stops:
    """The prediction after the last glimpse taken."""
    return Stops(taken, predicted.log_probs[torch.arange(len(taken)), taken - 1])
