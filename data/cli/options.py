"""What both command lines share: the options that name a task, and errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from data.dataset import DataSet
from data.errors import GlimpseError, SettingsError
from data.registry import DATASETS, load

PATH: click.ParamType = click.Path(path_type=Path)  # type: ignore[type-arg]
GROUP_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

SENSORS = ("patch", "retina")
RETINA_SCALES = 3  # as in most tables of Mnih et al. 2014

_TASK = (
    click.option(
        "--dataset", "name", default="digits", show_default=True, help=f"One of {', '.join(DATASETS)}."
    ),
    click.option("--attribute", help="What to predict (celebahq; default Male; to fit also A,B,.. or all)."),
    click.option("--canvas", type=int, help="Canvas side in pixels (translated-mnist, cluttered-mnist)."),
    click.option("--data-root", type=PATH, help="Folder of the images, in the official layout."),
    click.option(
        "--run",
        "run_dir",
        type=PATH,
        help="Folder of everything a run makes. [default: runs/DATASET[-TARGET]]",
    ),
    click.option("--glimpses", type=int, help="Glimpses per image, T. [default: the data set's]"),
    click.option(
        "--glimpse-size", type=int, help="Side of a glimpse in pixels. [default: the data set's, or FILE's]"
    ),
    click.option(
        "--sensor",
        type=click.Choice(SENSORS),
        help="patch: one square of --glimpse-size pixels a side. retina: --scales squares around one centre, "
        f"{RETINA_SCALES} by default. [default: as --scales]",
    ),
    click.option(
        "--scales",
        type=int,
        help="Squares of a retina, of 1, 2, 4, .. times --glimpse-size pixels a side, averaged down to the "
        "first. [default: as for --glimpse-size]",
    ),
)
_FIRST_GLANCE = click.option(
    "--first-glance",
    is_flag=True,
    default=None,
    help="Let the first of the glimpses be the whole image, averaged down to the size of a glimpse.",
)
_DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")


class Commands(click.Group):
    """A group of commands that answers misused options in one line, like all other bad input."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Runs the command line."""
        run: Callable[..., Any] = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        try:
            sys.exit(run(*args, standalone_mode=False, **extra))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.ClickException as error:
            message = " ".join(error.format_message().split())
            click.echo(f"error: expected options as in --help, found otherwise: {message}", err=True)
            sys.exit(2)
        except click.Abort:
            sys.exit(130)


def task_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that name data, run folder, geometry and device."""
    return sensor_options(_FIRST_GLANCE(_DEVICE(command)))


def sensor_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that name data, run folder and geometry, for what needs no device.

    A sensor is told as its scales: the command knows these alone.
    """

    @wraps(command)
    @one_line_errors
    def run(*args: Any, sensor: str | None, scales: int | None, **options: Any) -> None:
        command(*args, scales=scales_of(sensor, scales), **options)

    for option in reversed(_TASK):
        run = option(run)
    return run


def scales_of(sensor: str | None, scales: int | None) -> int | None:
    """How many scales a sensor has, None where neither says anything.

    Raises:
        SettingsError: a patch of several scales, or a retina of one.

    >>> scales_of("patch", None), scales_of("retina", None), scales_of("retina", 4), scales_of(None, 2)
    (1, 3, 4, 2)
    """
    if sensor == "patch" and scales is not None and scales > 1:
        raise SettingsError(
            f"expected 1 scale with --sensor patch, found {scales}; take retina or leave --scales out"
        )
    if sensor == "retina" and scales == 1:
        raise SettingsError("expected at least 2 scales with --sensor retina, found 1; take patch")
    default = {"patch": 1, "retina": RETINA_SCALES}
    return default.get(sensor or "") if scales is None else scales


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turns an error that the user can act on into one line on standard error and exit code 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except GlimpseError as error:
            click.echo(f"error: {' '.join(str(error).split())}", err=True)
            sys.exit(2)
        except OSError as error:
            click.echo(f"error: expected files that can be read and written, found: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("interrupted; the same command takes it up again", err=True)
            sys.exit(130)

    return run


def open_task(
    name: str,
    attribute: str | None,
    canvas: int | None,
    data_root: Path | None,
    run_dir: Path | None,
    *,
    several: bool = False,
) -> tuple[DataSet, Path, dict[str, Any]]:
    """The data set of the options, the run folder, and the arguments of `load` that open it again.

    Raises:
        SettingsError: several attributes, where the command takes one.
    """
    dataset = load(name, data_root, attribute=attribute, canvas=canvas)
    if dataset.attributes and not several:
        raise SettingsError(f"expected one attribute, found {attribute}; only `boed fit` takes several")
    if dataset.note:
        click.echo(dataset.note, err=True)
    return dataset, run_dir or default_run(dataset), dict(dataset.origin or {})


def default_run(dataset: DataSet) -> Path:
    """runs/DATASET, or runs/DATASET-TARGET where there are several targets, or their number if all at once.

    >>> default_run(load("digits")).as_posix()
    'runs/digits'
    """
    if dataset.attributes:
        return Path("runs") / f"{dataset.name}-{len(dataset.attributes)}-attributes"
    several = dataset.target != "label"
    return Path("runs") / (f"{dataset.name}-{dataset.target}" if several else dataset.name)
