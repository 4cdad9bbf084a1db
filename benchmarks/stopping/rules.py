"""The stopping rules that are compared: those of `hardattn`, and one that `stopping_calibration` makes."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from hardattn.model.heads import require_said
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Predictions, Rule, quantiles, rules_for, until_below

FIXED, HALTING, CALIBRATED = "fixed", "halting", "calibrated"


def score(predicted: Predictions) -> Tensor:
    """(N, T) calibrated gain of accuracy before each glimpse; raises SettingsError where it is not known."""
    return require_said(predicted.said, CALIBRATED)


CALIBRATED_RULE = Rule(
    label="until the calibrated gain of accuracy is small",
    stops=partial(until_below, score),
    thresholds=partial(quantiles, score),
    head=CALIBRATED,
    classifies=True,
)


def rule_of(name: str) -> Rule:
    """The rule of this name.

    >>> rule_of("calibrated").classifies, rule_of("fixed").head
    (True, '')
    """
    return CALIBRATED_RULE if name == CALIBRATED else RULES[name]


def rules_of(predicted: Predictions) -> list[str]:
    """Names of the rules that can stop a network."""
    return [*rules_for(predicted), *([CALIBRATED] if CALIBRATED in predicted.said else [])]
