"""The options of a fit on the command line, and the fit that they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boed.combination import CHOICES, Combination
from boed.part_files import FOLDER
from boed.posteriors.choices import BACKBONES
from data.cli.options import (
    PATH,
    AtLeast,
    Option,
    Task,
    data_options,
    device_option,
    glance_option,
    panel,
    sensor_of,
    sensor_options,
    sides_option,
    tracker_option,
)
from data.runs import default_run

if TYPE_CHECKING:
    from boed.approximations import Approximations
    from data.dataset import DataSet


def fit_options() -> list[click.Parameter]:
    """The options of a fit, with those of its task."""
    return [
        *data_options(),
        *sensor_options(sides_option(), glance_option()),
        *panel(
            "Parts of the design",
            Option(
                ["--posterior"],
                type=click.Choice(CHOICES["posterior"]),
                help="The posterior q. [default: glimpse-set]",
            ),
            Option(
                ["--completion"],
                type=click.Choice(CHOICES["completion"]),
                help="The stochastic image completion r. [default: retrieval]",
            ),
            Option(
                ["--estimator"],
                type=click.Choice(CHOICES["estimator"]),
                help="Mean over completions, or a network. [default: completion]",
            ),
            Option(
                ["--score"],
                type=click.Choice(CHOICES["score"]),
                help="What is expected of a place. [default: cross-entropy; entropy without labels]",
            ),
            Option(
                ["--bank"],
                type=PATH,
                help="Folder of images that proposals retrieves from. [default: labelled ones, unseen by q]",
            ),
        ),
        *panel(
            "Networks of the fit",
            Option(["--width"], type=int, help="Of q. [default: 96]"),
            Option(
                ["--trial-images"],
                type=int,
                help="To estimate weights, temperatures and average maps from, at most; fewer are faster. "
                "[default: 300 to 1000; for the weights 150000 / places]",
            ),
            Option(
                ["--backbone"],
                type=click.Choice(BACKBONES),
                help="Network of an AVP-CNN; all but small need the extra vision. [default: small]",
            ),
            Option(["--pretrained"], is_flag=True, default=None, help="Published weights for torchvision's."),
            Option(
                ["--resolution"],
                type=int,
                help="Side at which avp-cnn, cvae, gaussian and proposals see images, at most. [default: 48]",
            ),
        ),
        *panel(
            "Length of the fit",
            Option(
                ["--places"],
                type=AtLeast(1),
                help="Candidate places; grids of up to 200 are taken whole. [default: 60]",
            ),
            Option(
                ["--iterations"],
                type=AtLeast(1),
                help="Of each training. [default: a fifth of the images, 4000 to 10000]",
            ),
            Option(
                ["--balanced"],
                is_flag=True,
                default=None,
                help="Learn, and predict, as if all classes were as frequent: for a rare one.",
            ),
            Option(["--seed"], type=int, help="Of the fit and the completions. [default: 0]"),
            device_option(),
        ),
        *panel("Output", tracker_option()),
    ]


def require_possible(options: Mapping[str, Any]) -> None:
    """Raises SettingsError for parts, or a sensor, that do not go together; no image is read."""
    combination_of(options)
    sensor_of(options)


def combination_of(options: Mapping[str, Any]) -> Combination:
    """The parts that the options name."""
    bank = None
    if options["bank"] is not None:
        from boed.completions.folder_bank import image_files

        image_files(options["bank"])  # refused before a long fit if it cannot serve
        bank = str(options["bank"].resolve())
    return Combination.of(**{name: options[name] for name in CHOICES}, bank=bank)


def folder_of(run: Path, options: Mapping[str, Any]) -> Path:
    """Where the approximations with this posterior are."""
    posterior = combination_of(options).posterior
    return run / f"{FOLDER}{Combination.of(posterior=posterior).tag}"


def fitted(task: Task, options: Mapping[str, Any]) -> Approximations:
    """The approximations that the options ask for: fitted, or loaded where they are there."""
    from boed.fitting.fit import fit

    return fit(task.dataset, folder_of(task.run, options), **fit_arguments(task.dataset, options))


def fitted_jointly(task: Task, options: Mapping[str, Any]) -> dict[Path, Approximations]:
    """The approximations of every attribute by folder: in RUN/ATTRIBUTE, or without --run the default."""
    from boed.fitting.joint_fit import fit_jointly

    def own(attribute: str) -> Path:
        several = options["run_dir"] is not None
        base = task.run / attribute if several else default_run(task.dataset.only(attribute))
        return folder_of(base, options)

    folder, arguments = folder_of(task.run, options), fit_arguments(task.dataset, options)
    learned = fit_jointly(task.dataset, folder, own, **arguments)
    return {own(attribute): one for attribute, one in learned.items()}


def fit_arguments(dataset: DataSet, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say about a fit, as keyword arguments of `boed.fitting.fit.fit`."""
    from dataclasses import fields, replace

    from boed.settings import FitSettings
    from data.device import choose_device

    given = {name: value for name, value in options.items() if value is not None}
    sensor = sensor_of(options)
    settings = {field.name: given[field.name] for field in fields(FitSettings) if field.name in given}
    return settings | {
        "device": choose_device(options["device"]),
        "geometry": replace(dataset.geometry, **sensor) if sensor else None,
        "combination": combination_of(options),
        "tracker": options.get("tracker"),
    }
