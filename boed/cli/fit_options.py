"""The options of a fit on the command line, and the fit that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from boed.approximations import Approximations
from boed.combination import CHOICES, Combination
from boed.completions.proposed_retrieval import image_files
from boed.fitting.fit import fit as fit_task
from boed.fitting.joint_fit import fit_jointly
from boed.posteriors.backbones import BACKBONES
from boed.settings import FitSettings
from data.cli.options import PATH, default_run, task_options
from data.dataset import DataSet
from data.device import choose_device

SENSOR = ("glimpse_size", "scales", "first_glance")  # options that fields of the geometry are named by


def fit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of a fit."""
    for option in (
        click.option(
            "--bank",
            type=PATH,
            help="Folder of images that proposals retrieves from. [default: labelled ones, unseen by q]",
        ),
        click.option("--seed", type=int, help="Of the fit and the completions. [default: 0]"),
        click.option("--pretrained", is_flag=True, default=None, help="Published weights for torchvision's."),
        click.option(
            "--backbone",
            type=click.Choice(list(BACKBONES)),
            help="Network of an AVP-CNN; all but small need the extra vision. [default: small]",
        ),
        click.option(
            "--resolution",
            type=int,
            help="Side at which avp-cnn, cvae, gaussian and proposals see images, at most. [default: 48]",
        ),
        click.option("--width", type=int, help="Of q. [default: 96]"),
        click.option(
            "--iterations",
            type=int,
            help="Of each training. [default: a fifth of the images, 4000 to 10000]",
        ),
        click.option(
            "--places", type=int, help="Candidate places; grids of up to 200 are taken whole. [default: 60]"
        ),
        click.option(
            "--score",
            type=click.Choice(CHOICES["score"]),
            help="What is expected of a place. [default: cross-entropy; entropy without labels]",
        ),
        click.option(
            "--estimator",
            type=click.Choice(CHOICES["estimator"]),
            help="Mean over completions, or a network. [default: completion]",
        ),
        click.option(
            "--completion",
            type=click.Choice(CHOICES["completion"]),
            help="The stochastic image completion r. [default: retrieval]",
        ),
        click.option(
            "--posterior",
            type=click.Choice(CHOICES["posterior"]),
            help="The posterior q. [default: glimpse-set]",
        ),
    ):
        command = option(command)
    return task_options(command)


def combination_of(options: dict[str, Any]) -> Combination:
    """The parts that the options name."""
    bank = None
    if options["bank"] is not None:
        image_files(options["bank"])  # refused before a long fit if it cannot serve
        bank = str(options["bank"].resolve())
    return Combination.of(**{name: options[name] for name in CHOICES}, bank=bank)


def folder_of(run: Path, options: dict[str, Any]) -> Path:
    """Where the approximations with this posterior are."""
    posterior = combination_of(options).posterior
    return run / f"approximations{Combination.of(posterior=posterior).tag}"


def fitted(dataset: DataSet, run: Path, options: dict[str, Any]) -> Approximations:
    """The approximations that the options ask for: fitted, or loaded where they are there."""
    return fit_task(dataset, folder_of(run, options), **fit_arguments(dataset, options))


def fitted_jointly(dataset: DataSet, run: Path, options: dict[str, Any]) -> dict[Path, Approximations]:
    """The approximations of every attribute by folder: in RUN/ATTRIBUTE, or without --run the default."""

    def own(attribute: str) -> Path:
        base = default_run(dataset.only(attribute)) if options["run_dir"] is None else run / attribute
        return folder_of(base, options)

    learned = fit_jointly(dataset, folder_of(run, options), own, **fit_arguments(dataset, options))
    return {own(attribute): one for attribute, one in learned.items()}


def fit_arguments(dataset: DataSet, options: dict[str, Any]) -> dict[str, Any]:
    """What the options say about a fit, as keyword arguments of `boed.fitting.fit.fit`."""
    given = {name: value for name, value in options.items() if value is not None}
    sensor: dict[str, Any] = {name: given[name] for name in SENSOR if name in given}
    geometry = replace(dataset.geometry, **sensor) if sensor else None
    settings = {field.name: given[field.name] for field in fields(FitSettings) if field.name in given}
    return settings | {
        "device": choose_device(options["device"]),
        "geometry": geometry,
        "combination": combination_of(options),
    }
