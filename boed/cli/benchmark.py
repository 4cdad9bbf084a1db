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
from data.cli.options import PATH, AtLeast, Option, Within, device_option, json_option, panel
from data.errors import SettingsError

if TYPE_CHECKING:
    from boed.benchmark.result import Benchmark, Row


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
    Option(
        ["--iterations"],
        type=AtLeast(1),
        help="Of each training. [default: 10000, or what --minutes has time for]",
    ),
    Option(["--glimpses"], type=AtLeast(1), help="Glimpses per image, T. [default: 5]"),
    Option(
        ["--seed"],
        type=AtLeast(0),
        default=0,
        show_default=True,
        help="Of which templates are for training, fits and completions.",
    ),
    device_option(),
)
_TIME = panel(
    "Time",
    Option(
        ["--minutes"],
        type=Within(min=0, min_open=True),
        help="For all combinations: sets iterations and numbers of images. [default: no limit]",
    ),
    Option(
        ["--processes"],
        type=AtLeast(1),
        help="That share the posteriors. [default: one for each, at most one per core]",
    ),
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
        ["--images"],
        type=AtLeast(2),
        default=200,
        show_default=True,
        help="How many images to design for, of each group.",
    ),
    Option(
        ["--completions"],
        type=AtLeast(1),
        default=COMPLETIONS,
        show_default=True,
        help="Per image and glimpse.",
    ),
)

TITLES = {
    "unseen": "Images of templates that no training image shows",
    "seen": "Training images that come again",
}


@click.command(
    cls=Command,
    resumable=True,
    params=[*_FITS, *_TIME, *_COMBINATIONS, *_DESIGNS, *panel("Output", json_option())],
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

    On images of templates that no training image shows, and on training images that come again.

    \b
    Examples:
      boed benchmark finite
      boed benchmark finite --minutes 60
      boed benchmark finite --only-default --json
      boed benchmark finite --posterior glimpse-set --completion retrieval --completion gaussian
    """
    from boed.benchmark.benchmark import run_benchmark
    from data.device import choose_device
    from data.registry import load

    chosen = [Combination()] if only_default else selected(posteriors, completions_of, estimators)
    given = {name: value for name, value in options.items() if value is not None}
    result = run_benchmark(
        load(yardstick, seed=options["seed"]), run_dir, chosen, device=choose_device(device), **given
    )
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
    from boed.benchmark.benchmark import combinations

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
    """Mean exact EPE in nats and share of the gap with its standard error, by group, as Markdown."""
    return "\n\n".join(f"{TITLES[group]}:\n\n{_group_table(result, group)}" for group in TITLES)


def _group_table(result: Benchmark, group: str) -> str:
    levels, steps = result.levels(group), len(result.references[group].exact.T)
    lines = [
        _line("design", [f"t = {t}" for t in range(1, steps + 1)], "images"),
        "| --- " * (2 + steps) + "|",
    ]
    lines += [
        _line(
            name, [f"{value:.3f}" for value in levels[name].value], str(len(result.references[group].exact))
        )
        for name in ("random", "fixed", "exact")
    ]
    optimal = [f"{value:.3f}" for value in result.optimal]
    lines.append(_line("optimal", [*optimal, *[""] * (steps - len(optimal))], "all"))
    return "\n".join([*lines, *(_row_line(result, row, group) for row in result.rows)])


def _row_line(result: Benchmark, row: Row, group: str) -> str:
    measured, parts = row.measured[group], row.combination
    name = parts.words
    closed = result.references[group].closed(measured)
    figures = zip(measured.epe.mean(0).tolist(), closed.value, closed.error, strict=True)
    cells = [f"{own:.3f} {100 * share:.0f} ± {100 * error:.0f} %" for own, share, error in figures]
    return _line(name + (" (default)" if parts == Combination() else ""), cells, str(len(measured)))


def _line(name: str, cells: Sequence[str], last: str) -> str:
    return "| " + " | ".join([name, *cells, last]) + " |"
