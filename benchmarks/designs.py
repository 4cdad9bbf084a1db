"""How much adaptivity pays: `python -m benchmarks.designs RUN --data-root DIR`, on the validation images.

Takes the approximations of a finished `boed fit` and designs for validation images with the fitted weights
of an image's own map, with other ones, and at random, by every score. After each glimpse it gives the
accuracy and the negative log-likelihood of q itself: the fit's own judge, not an independent one, so that
differences between rows count and the level does not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.fitted import fitted_options, open_fitted
from boed.combination import Combination
from boed.estimators.registry import SCORES
from boed.search.designer import Designer, design_sequences
from boed.search.sources import random
from data import GlimpseError
from data.dataset import Split
from data.sample import sample_rows


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@fitted_options
@click.option("--images", default=500, show_default=True, help="How many validation images.")
def main(run: Path, images: int, dataset: str, **options: Any) -> None:
    """Accuracy and NLL of q after each glimpse, for several weights of an image's own map.

    \b
    Examples:
      python -m benchmarks.designs runs/digits
      python -m benchmarks.designs runs/celebahq-Male --dataset celebahq --attribute Male --data-root DIR
    """
    try:
        data, learned = open_fitted(run, dataset, options)
    except GlimpseError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    rows = sample_rows(len(data["valid"]), min(images, len(data["valid"])))
    click.echo(f"{len(rows)} validation images of {data.name} {data.target}; % right, NLL in nats")
    click.echo(header(learned.glimpses))
    fitted = ", ".join(f"{weight:g}" for weight in learned.weights)
    for score in SCORES:
        designer = Designer(replace(learned, combination=Combination(score=score)))
        rules = {f"fitted weights ({fitted})": learned.weights}
        rules |= {f"weight {w:g}": (w,) * learned.glimpses for w in (0.0, 0.1, 0.35, 1.0)}
        for name, weights in rules.items():
            sequences = design_sequences(designer, data["valid"], rows, learned.glimpses, weights, seed=0)
            click.echo(row(f"{score}, {name}", judge(designer, data["valid"], rows, sequences.locations)))
    sequences = random(designer, data["valid"], rows, learned.glimpses, 0)
    click.echo(row("random", judge(designer, data["valid"], rows, sequences.locations)))


@torch.no_grad()
def judge(designer: Designer, split: Split, rows: Tensor, locations: Tensor) -> list[tuple[float, float]]:
    """(accuracy, NLL in nats) of q after each of the glimpses at `locations` (B, T, 2)."""
    geometry = designer.learned.geometry
    glimpses = geometry.retina()(split.images, rows, locations).double()
    totals = designer.q.prefixes(designer.q.embed(glimpses, geometry.centres(locations).double()))
    labels, figures = split.labels[rows], []
    for t in range(locations.shape[1]):
        logits = designer.q.logits(totals[:, t], t + 1)
        right = (logits.argmax(-1) == labels).double().mean()
        figures.append((float(right), float(cross_entropy(logits, labels))))
    return figures


def header(steps: int) -> str:
    """The head of a Markdown table.

    >>> print(header(2))
    | design | t = 1 | t = 2 |
    | --- | --- | --- |
    """
    return "\n".join(
        [
            "| design | " + " | ".join(f"t = {t}" for t in range(1, steps + 1)) + " |",
            "| --- " * (steps + 1) + "|",
        ]
    )


def row(name: str, figures: Sequence[tuple[float, float]]) -> str:
    """A row of a Markdown table.

    >>> row("random", [(0.5, 0.6931)])
    '| random | 50.0 .693 |'
    """
    cells = [f"{100 * accuracy:.1f} {nll:.3f}".replace(" 0.", " .") for accuracy, nll in figures]
    return "| " + " | ".join([name, *cells]) + " |"


if __name__ == "__main__":
    main()
