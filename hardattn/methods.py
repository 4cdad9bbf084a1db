"""Training methods: how locations are chosen, and the weights of the terms of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from data.errors import SettingsError
from hardattn import losses
from hardattn.rollout import Mode, Rollout


@dataclass(frozen=True)
class Method:
    """One way of training the network.

    Attributes:
        summary: one line for the user.
        training: how locations are chosen in training, where they are not forced.
        evaluation: how they are chosen in validation and evaluation.
        supervised: whether it needs sequences to imitate.
        weights: term of the loss -> weight; a term that is not named is not used.
    """

    summary: str
    training: Mode
    evaluation: Mode
    supervised: bool
    weights: Mapping[str, float]


METHODS: dict[str, Method] = {
    "ps-nogs": Method(
        "imitates given sequences on some images, REINFORCE on the others (Harvey et al. 2019)",
        "sample",
        "greedy",
        True,
        {"classification": 1.0, "imitation": 1.0, "reinforce": 0.1, "baseline": 1.0, "gain": 1.0},
    ),
    "ram": Method(
        "REINFORCE with a learned baseline on all images (Mnih et al. 2014)",
        "sample",
        "greedy",
        False,
        {"classification": 1.0, "reinforce": 1.0, "baseline": 1.0, "gain": 1.0},
    ),
    "random": Method(
        "uniformly random glimpses, in training and evaluation",
        "random",
        "random",
        False,
        {"classification": 1.0, "gain": 1.0},
    ),
}


def method_of(name: str | None, supervised: bool) -> str:
    """The method to train by: `name`, or the default that fits; refuses what does not go together.

    >>> method_of(None, supervised=True), method_of(None, supervised=False)
    ('ps-nogs', 'ram')
    """
    chosen = name or ("ps-nogs" if supervised else "ram")
    if chosen not in METHODS:
        raise SettingsError(f"expected a method of {', '.join(METHODS)}; found {chosen!r}")
    if METHODS[chosen].supervised and not supervised:
        raise SettingsError(f"expected sequences for method {chosen}, found none; add --supervise [FILE]")
    if supervised and not METHODS[chosen].supervised:
        raise SettingsError(
            f"expected no sequences for method {chosen}, found some; leave out --supervise or take ps-nogs"
        )
    return chosen


def terms(method: Method, rollout: Rollout, labels: Tensor, supervised: Tensor) -> dict[str, Tensor]:
    """The weighted terms of the loss, by name; their sum is what is minimised."""
    makers = {
        "classification": lambda: losses.classification(rollout, labels),
        "imitation": lambda: losses.imitation(rollout, supervised),
        "reinforce": lambda: losses.reinforce(rollout, labels, ~supervised),
        "baseline": lambda: losses.baseline(rollout, labels, ~supervised),
        "gain": lambda: losses.gain(rollout),
    }
    return {name: weight * makers[name]() for name, weight in method.weights.items()}
