"""What completions of images are worth: `python -m benchmarks.completions RUN`, on the validation images.

A good completion repeats the pixels that were seen and differs from the others elsewhere: see
`boed.completions.quality`. Nothing is pasted here, so that the first is the work of the model.
"""

from __future__ import annotations

import sys
from copy import copy
from dataclasses import astuple
from pathlib import Path
from typing import Any

import click

from benchmarks.designs import header
from benchmarks.fitted import fitted_options, open_fitted
from boed.combination import Combination
from boed.completions.canvas_state import LatentCompletion
from boed.completions.completion import Completion
from boed.completions.quality import CompletionQuality, completion_quality
from boed.fitting.fit import fit
from boed.search.designer import Designer
from boed.search.registry import SOURCES
from data import GlimpseError
from data.sample import sample_rows

COMPLETIONS = ("cvae", "gaussian", "proposals")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@fitted_options
@click.option(
    "--completion", "names", type=click.Choice(COMPLETIONS), multiple=True, help="Only this one; repeatable."
)
@click.option("--images", default=100, show_default=True, help="How many validation images.")
def main(run: Path, images: int, names: tuple[str, ...], dataset: str, **options: Any) -> None:
    """Error and spread of completions in grey levels, where was looked and elsewhere, after each glimpse.

    Images are seen along the fixed greedy order. A completion that RUN has not learned yet is learned first.

    \b
    Examples:
      python -m benchmarks.completions runs/digits
      python -m benchmarks.completions runs/celebahq-Male --dataset celebahq --attribute Male --data-root DIR
    """
    try:
        data, learned = open_fitted(run, dataset, options)
        rows = sample_rows(len(data["valid"]), min(images, len(data["valid"])))
        order = SOURCES["fixed-order"](Designer(learned), data["valid"], rows[:1], learned.glimpses, 0)
        click.echo(
            f"{len(rows)} validation images of {data.name} {data.target}; grey levels: error and spread"
        )
        click.echo("of completions where was looked, then elsewhere\n" + header(learned.glimpses))
        for name in names or COMPLETIONS:
            parts = fit(data, run / "approximations", combination=Combination.of(completion=name))
            completion = unpasted(parts.generator)
            found = [
                completion_quality(completion, data["valid"], rows, order.locations[0, :t], learned.geometry)
                for t in range(1, learned.glimpses + 1)
            ]
            click.echo(row(name, found))
    except GlimpseError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)


def unpasted(completion: Completion | None) -> Completion:
    """The completion without what was seen pasted into it."""
    assert completion is not None  # the combinations here make images
    generated = copy(completion)
    if isinstance(generated, LatentCompletion):
        generated.pasted = False
    return generated


def row(name: str, found: list[CompletionQuality]) -> str:
    """A row of a Markdown table: error and spread where was looked, then elsewhere.

    >>> row("cvae", [CompletionQuality(5.0, 60.0, 4.0, 41.4)])
    '| cvae | 5 4, 60 41 |'
    """
    cells = []
    for quality in found:
        seen, unseen, spread_seen, spread = astuple(quality)
        cells.append(f"{seen:.0f} {spread_seen:.0f}, {unseen:.0f} {spread:.0f}")
    return "| " + " | ".join([name, *cells]) + " |"


if __name__ == "__main__":
    main()
