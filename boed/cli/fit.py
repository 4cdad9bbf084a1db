"""The command `boed fit`: parse, one call into the library, print."""

from __future__ import annotations

from typing import Any

import click

from boed.cli.fit_options import fit_options, fitted, fitted_jointly, folder_of, require_possible
from data.cli.commands import Command
from data.cli.options import open_task


@click.command(cls=Command, resumable=True, params=fit_options())
def fit(**options: Any) -> None:
    """Learns the posterior q, the completion r and the estimator of a task into RUN/approximations.

    \b
    Examples:
      boed fit
      boed fit --dataset celebahq --attribute Male --data-root DIR
      boed fit --dataset celebahq --attribute all --data-root DIR
      boed fit --dataset cluttered-mnist --canvas 60 --data-root DIR --scales 3
      boed fit --posterior avp-cnn --completion cvae
      boed fit --estimator amortised
      boed fit --completion proposals --bank DIR
    """
    require_possible(options)
    task = open_task(options, several=True)
    if task.dataset.attributes:
        fits = fitted_jointly(task, options)
    else:
        fits = {folder_of(task.run, options): fitted(task, options)}
    for folder, learned in fits.items():
        weights = ", ".join(f"{weight:g}" for weight in learned.weights)
        click.echo(f"approximations in {folder}; weight of an image's own map at each step: {weights}")
