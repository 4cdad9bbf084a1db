"""The command `boed fit`: parse, one call into the library, print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from boed.cli.fit_options import (
    combination_of,
    fit_options,
    fitted,
    fitted_jointly,
    folder_of,
    require_possible,
)
from data.cli.commands import Command
from data.cli.options import open_task
from data.errors import GlimpseError
from data.stages import stage

if TYPE_CHECKING:
    from boed.approximations import Approximations
    from data.dataset import DataSet

UNSEEN = "valid"  # the split that tells how true a fit is


@click.command(cls=Command, resumable=True, staged=True, params=fit_options())
def fit(**options: Any) -> None:
    """Learns the posterior q, the completion r and the estimator of a task into RUN/approximations.

    Ends with a table of how true it is on images of the valid split, as `boed calibration` has it.

    \b
    Examples:
      boed fit
      boed fit --dataset celebahq --attribute Male --data-root DIR
      boed fit --dataset celebahq --attribute all --data-root DIR
      boed fit --dataset cluttered-mnist --canvas 60 --data-root DIR --scales 3
      boed fit --posterior avp-cnn --completion cvae
      boed fit --estimator amortised --tracker tensorboard
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
    if combination_of(options).exact:
        return  # what is enumerated is true, and dear to check
    try:
        click.echo(truth_of(list(fits.values()), task.dataset))
    except GlimpseError as error:  # the fit is done; only its table is missing
        click.echo(f"no table of what comes true of it: {error}", err=True)


@stage("table")
def truth_of(fits: Sequence[Approximations], dataset: DataSet) -> str:
    """What fits predict and what comes true: a line for each glimpse, of several for each attribute.

    Raises:
        DataError: the data set has no images that they have not seen.
    """
    from boed.calibration import measure_calibration, measure_together
    from boed.calibration_table import attributes_table, calibration_table

    if not dataset.attributes:
        return calibration_table(measure_calibration(fits[0], dataset[UNSEEN]), UNSEEN)
    by_name = {one.settings.target: one for one in fits}
    splits = {name: dataset.only(name)[UNSEEN] for name in by_name}
    return attributes_table(measure_together(by_name, splits), UNSEEN)
