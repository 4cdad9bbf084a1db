"""The command `boed benchmark`: parse, one call into the library, print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boed.combination import CHOICES, Combination
from boed.search.choices import COMPLETIONS
from data.cli.commands import Command
from data.cli.options import PATH, AtLeast, Option, device_option, json_option, panel
from data.errors import SettingsError

if TYPE_CHECKING:
    from boed.benchmark import Benchmark


def _only(part: str, name: str) -> Option:
    """The option that names those of one part of a design."""
    return Option(
        [f"--{part}", name],
        type=click.Choice(CHOICES[part]),
        multiple=True,
        help="Only this one; may be repeated.",
    )


_FITS = panel(
    "Fits",
    Option(
        ["--run", "run_dir"],
        type=PATH,
        default=Path("runs/benchmark-finite"),
        show_default=True,
        help="Folder of the approximations; what is there is taken.",
    ),
    Option(["--iterations"], type=int, help="Of each training. [default: as in `boed fit`, 10000 here]"),
    Option(["--glimpses"], type=AtLeast(1), help="Glimpses per image, T. [default: 5]"),
    Option(["--seed"], default=0, show_default=True, help="Of fits and completions."),
    device_option(),
)
_COMBINATIONS = panel(
    "Combinations",
    Option(["--only-default"], is_flag=True, help="Leave out all combinations but the default."),
    _only("posterior", "posteriors"),
    _only("completion", "completions_of"),
    _only("estimator", "estimators"),
)
_DESIGNS = panel(
    "Designs",
    Option(
        ["--images"], type=AtLeast(1), default=200, show_default=True, help="How many images to design for."
    ),
    Option(
        ["--completions"],
        type=AtLeast(1),
        default=COMPLETIONS,
        show_default=True,
        help="Per image and glimpse.",
    ),
)


@click.command(
    cls=Command, resumable=True, params=[*_FITS, *_COMBINATIONS, *_DESIGNS, *panel("Output", json_option())]
)
@click.argument("yardstick", type=click.Choice(["finite"]))
def benchmark(
    yardstick: str,
    run_dir: Path,
    only_default: bool,
    posteriors: tuple[str, ...],
    completions_of: tuple[str, ...],
    estimators: tuple[str, ...],
    device: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Compares every combination of approximations with exact design, where that can be computed.

    \b
    Examples:
      boed benchmark finite
      boed benchmark finite --only-default --json
      boed benchmark finite --posterior glimpse-set --completion retrieval --completion gaussian
    """
    from boed.benchmark import run_benchmark
    from data.device import choose_device
    from data.registry import load

    chosen = [Combination()] if only_default else selected(posteriors, completions_of, estimators)
    given = {name: value for name, value in options.items() if value is not None}
    result = run_benchmark(load(yardstick), run_dir, chosen, device=choose_device(device), **given)
    click.echo(json.dumps(result.to_json(), indent=1) if as_json else table(result))


def selected(
    posteriors: Sequence[str], completions: Sequence[str], estimators: Sequence[str]
) -> list[Combination]:
    """The combinations with parts among those named, where any is named.

    Raises:
        SettingsError: there is none.

    >>> [its.score for its in selected(["exact"], ["gaussian"], [])]
    ['entropy', 'information']
    """
    from boed.benchmark import combinations

    asked = {"posterior": posteriors, "completion": completions, "estimator": estimators}
    chosen = [
        each
        for each in combinations()
        if all(getattr(each, part) in names for part, names in asked.items() if names)
    ]
    if not chosen:
        raise SettingsError(f"expected parts that go together, found none of {asked}; leave some out")
    return chosen


def table(result: Benchmark) -> str:
    """Mean exact EPE in nats and share of the gap, of every combination, as Markdown."""
    steps = range(1, len(result.exact) + 1)
    lines = ["| design | " + " | ".join(f"t = {t}" for t in steps) + " |", "| --- " * (1 + len(steps)) + "|"]
    for name in ("random", "fixed", "exact", "optimal"):
        cells = [f"{value:.3f}" for value in getattr(result, name)]
        lines.append("| " + " | ".join([name, *cells, *[""] * (len(steps) - len(cells))]) + " |")
    for row in result.rows:
        parts = row.combination
        name = ", ".join([parts.posterior, parts.completion, parts.estimator, parts.score])
        name += " (default)" if parts == Combination() else ""
        shares = zip(row.epe, result.closed(row), strict=True)
        lines.append(
            "| " + " | ".join([name, *[f"{own:.3f} {100 * share:.0f} %" for own, share in shares]]) + " |"
        )
    return "\n".join(lines)
