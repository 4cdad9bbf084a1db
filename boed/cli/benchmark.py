"""The command `boed benchmark`: parse, one call into the library, print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from boed.benchmark import Benchmark, combinations, run_benchmark
from boed.combination import CHOICES, Combination
from boed.search.designer import COMPLETIONS
from data.cli.options import PATH, one_line_errors
from data.device import choose_device
from data.errors import SettingsError
from data.registry import load


@click.command()
@click.argument("yardstick", type=click.Choice(["finite"]))
@click.option(
    "--run",
    "run_dir",
    type=PATH,
    default=Path("runs/benchmark-finite"),
    show_default=True,
    help="Folder of the approximations; what is there is taken.",
)
@click.option("--images", default=200, show_default=True, help="How many images to design for.")
@click.option("--completions", default=COMPLETIONS, show_default=True, help="Per image and glimpse.")
@click.option("--iterations", type=int, help="Of each training. [default: as in `boed fit`, 10000 here]")
@click.option("--glimpses", type=int, help="Glimpses per image, T. [default: 5]")
@click.option("--seed", default=0, show_default=True, help="Of fits and completions.")
@click.option("--only-default", is_flag=True, help="Leave out all combinations but the default.")
@click.option(
    "--posterior",
    "posteriors",
    type=click.Choice(CHOICES["posterior"]),
    multiple=True,
    help="Only this one; may be repeated.",
)
@click.option(
    "--completion",
    "completions_of",
    type=click.Choice(CHOICES["completion"]),
    multiple=True,
    help="Only this one; may be repeated.",
)
@click.option(
    "--estimator",
    "estimators",
    type=click.Choice(CHOICES["estimator"]),
    multiple=True,
    help="Only this one; may be repeated.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@one_line_errors
def benchmark(
    yardstick: str,
    run_dir: Path,
    images: int,
    completions: int,
    iterations: int | None,
    glimpses: int | None,
    seed: int,
    only_default: bool,
    posteriors: tuple[str, ...],
    completions_of: tuple[str, ...],
    estimators: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Compares every combination of approximations with exact design, where that can be computed.

    \b
    Examples:
      boed benchmark finite
      boed benchmark finite --only-default --json
      boed benchmark finite --posterior glimpse-set --completion retrieval --completion gaussian
    """
    chosen = [Combination()] if only_default else selected(posteriors, completions_of, estimators)
    given = {"iterations": iterations, "glimpses": glimpses}
    found = run_benchmark(
        load(yardstick),
        run_dir,
        chosen,
        images=images,
        completions=completions,
        device=choose_device(device),
        seed=seed,
        **{name: value for name, value in given.items() if value is not None},
    )
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else table(found))


def selected(
    posteriors: Sequence[str], completions: Sequence[str], estimators: Sequence[str]
) -> list[Combination]:
    """The combinations with parts among those named, where any is named.

    Raises:
        SettingsError: there is none.

    >>> [its.score for its in selected(["exact"], ["gaussian"], [])]
    ['entropy', 'information']
    """
    asked = {"posterior": posteriors, "completion": completions, "estimator": estimators}
    found = [
        each
        for each in combinations()
        if all(getattr(each, part) in names for part, names in asked.items() if names)
    ]
    if not found:
        raise SettingsError(f"expected parts that go together, found none of {asked}; leave some out")
    return found


def table(found: Benchmark) -> str:
    """Mean exact EPE in nats and share of the gap, of every combination, as Markdown."""
    steps = range(1, len(found.exact) + 1)
    lines = ["| design | " + " | ".join(f"t = {t}" for t in steps) + " |", "| --- " * (1 + len(steps)) + "|"]
    for name in ("random", "fixed", "exact", "optimal"):
        cells = [f"{value:.3f}" for value in getattr(found, name)]
        lines.append("| " + " | ".join([name, *cells, *[""] * (len(steps) - len(cells))]) + " |")
    for row in found.rows:
        parts = row.combination
        name = ", ".join([parts.posterior, parts.completion, parts.estimator, parts.score])
        name += " (default)" if parts == Combination() else ""
        shares = zip(row.epe, found.closed(row), strict=True)
        lines.append(
            "| " + " | ".join([name, *[f"{own:.3f} {100 * share:.0f} %" for own, share in shares]]) + " |"
        )
    return "\n".join(lines)
