"""The options that say when to stop looking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich_click import RichOption

from data.cli.options import Option
from data.errors import SettingsError
from hardattn.stopping.registry import RULES

if TYPE_CHECKING:
    from hardattn.models import Model
    from hardattn.stopping.stop import Stop


def stop_options(rules: Iterable[str]) -> list[RichOption]:
    """A rule with its threshold, or what a mean number of glimpses chooses.

    Args:
        rules: names of those that there are to choose from.
    """
    return [
        Option(
            ["--stop"],
            metavar="RULE=THRESHOLD",
            help=f"When to stop looking: {', '.join(rules)}. [default: after all glimpses]",
        ),
        Option(
            ["--budget-glimpses"],
            type=float,
            help="Stop by the rule and threshold that did best on validation images with so many on average.",
        ),
    ]


def require_stop(stop: str | None, budget_glimpses: float | None) -> None:
    """Refuses what is no rule, before anything slow is imported for it."""
    if stop is not None and budget_glimpses is not None:
        raise SettingsError("expected --stop or --budget-glimpses, found both; leave one out")
    if stop is not None:
        rule, _, threshold = stop.partition("=")
        RULES.require_name(rule)
        try:
            float(threshold)
        except ValueError:
            raise SettingsError(f"expected RULE=THRESHOLD with a number, found {stop!r}") from None


def stop_of(
    model: Model, stop: str | None, budget_glimpses: float | None, rules: Sequence[str] = ()
) -> Stop | None:
    """The rule that the options name; by a budget one of `rules`, or without them of all."""
    from hardattn.stopping.stop import Stop

    if budget_glimpses is not None:
        return model.stop_within(budget_glimpses, *rules)
    return None if stop is None else Stop.parsed(stop)
