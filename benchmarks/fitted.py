"""The finished `boed fit` that a benchmark measures: its options, and opening it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from boed.approximations import Approximations
from boed.fitting.fit import fit
from data import DATASETS, load
from data.dataset import DataSet

OPTIONS = (
    click.argument("run", type=click.Path(path_type=Path)),
    click.option(
        "--dataset", type=click.Choice(list(DATASETS)), default="digits", show_default=True, help="Data."
    ),
    click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the images."),
    click.option("--attribute", help="What to predict (celebahq)."),
    click.option(
        "--canvas", type=int, help="Side of the canvas in pixels (translated- and cluttered-mnist)."
    ),
)


def fitted_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the run and the options of its data to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def open_fitted(run: Path, dataset: str, options: dict[str, Any]) -> tuple[DataSet, Approximations]:
    """The data and what was fitted; a fit is not begun.

    Raises:
        GlimpseError: no such data, or no fit of them in RUN.
    """
    data = load(dataset, **options)
    Approximations.load(run / "approximations", data)  # refuses to begin one
    return data, fit(data, run / "approximations")
