"""The command line `boed`: parse, one call into the library, print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from boed.approximations import Approximations
from boed.fit import fit as fit_task
from boed.generate import candidates_of, choose_images, design_settings, require_glimpses
from boed.generate import generate as generate_sequences
from boed.show import draw_sequences
from boed.sources import SOURCES
from data.dataset import DataSet
from data.device import choose_device
from data.errors import GlimpseError, SettingsError
from data.geometry import Geometry
from data.registry import DATASETS, load
from supervision.store import SequenceStore

_PATH = click.Path(path_type=Path)
SEQUENCES = "sequences"


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turns an error that the user can act on into one line on standard error and exit code 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except GlimpseError as error:
            click.echo(f"error: {' '.join(str(error).split())}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("interrupted; the same command takes it up again", err=True)
            sys.exit(130)

    return run


def task_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name a task, its geometry and its fit."""
    for option in reversed(
        [
            click.option("--dataset", "name", default="digits", show_default=True, help=f"One of {', '.join(DATASETS)}."),
            click.option("--attribute", help="What to predict (celebahq; default Male)."),
            click.option("--canvas", type=int, help="Side of the canvas in pixels (translated-mnist, cluttered-mnist)."),
            click.option("--data-root", type=_PATH, help="Folder of the images, in the official layout."),
            click.option("--run", "run_dir", type=_PATH, help="Folder of everything a run makes. [default: runs/DATASET[-TARGET]]"),
            click.option("--glimpses", type=int, help="Glimpses per image, T. [default: the data set's]"),
            click.option("--glimpse-size", type=int, help="Side of a glimpse in pixels. [default: the data set's]"),
            click.option("--scales", type=int, help="Scales of the retina. [default: 1]"),
            click.option("--places", type=int, help="Candidate places; small grids are taken whole. [default: 60]"),
            click.option("--iterations", type=int, help="Of training q. [default: 4000]"),
            click.option("--seed", type=int, help="Of the fit and the completions. [default: 0]"),
            click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Bayesian experimental design of glimpse sequences: learns approximations, designs, shows."""


@main.command()
@task_options
@one_line_errors
def fit(**options: Any) -> None:
    """Learns the posterior q and the completion r of a task into RUN/approximations.

    \b
    Examples:
      boed fit
      boed fit --dataset celebahq --attribute Male --data-root DIR
      boed fit --dataset cluttered-mnist --canvas 60 --data-root DIR --scales 3
    """
    dataset, run = open_task(options)
    learned = fit_options(dataset, run, options)
    weights = ", ".join(f"{weight:g}" for weight in learned.weights)
    click.echo(
        f"approximations in {run / 'approximations'}; weight of an image's own map at each step: {weights}"
    )


@main.command()
@task_options
@click.option("--images", default="600", show_default=True, help="How many design images, or all.")
@click.option(
    "--source",
    type=click.Choice(list(SOURCES)),
    default="design",
    show_default=True,
    help="Where sequences come from.",
)
@click.option("--out", type=_PATH, help="The store. [default: RUN/sequences.h5, or RUN/sequences-SOURCE.h5]")
@one_line_errors
def generate(images: str, source: str, out: Path | None, **options: Any) -> None:
    """Designs a glimpse sequence for each design image; fits first where that has not been done.

    \b
    Examples:
      boed generate --images all
      boed generate --source fixed-order
      boed generate --dataset celebahq --attribute Male --data-root DIR --images 600
    """
    dataset, run = open_task(options)
    split = dataset["design"].to(choose_device(options["device"]))
    ids = choose_images(split, image_count(images, len(split)))
    path = out or run / (f"{SEQUENCES}.h5" if source == "design" else f"{SEQUENCES}-{source}.h5")
    if path.exists():
        SequenceStore.read(path)  # refuses a damaged one before the long fit
    learned = fit_options(dataset, run, options)
    glimpses = options["glimpses"] or learned.glimpses
    require_glimpses(glimpses, learned)
    seed = learned.settings["seed"]
    settings = design_settings(dataset, learned, source=source, seed=seed)
    origin = {"name": options["name"], "attribute": options["attribute"], "canvas": options["canvas"]}
    origin["data_root"] = options["data_root"] and str(options["data_root"].resolve())
    store = SequenceStore.write_to(
        path, settings, ids, glimpses, candidates_of(learned, source), origin=origin
    )
    generate_sequences(learned, split, store, glimpses=glimpses, source=source, seed=seed)
    click.echo(
        f"{len(ids)} sequences of {glimpses} glimpses in {path}; next: hardattn train --supervise {path}"
    )


@main.command()
@click.argument("file", type=_PATH)
@click.option(
    "--image", "images", type=int, multiple=True, help="Image id; may be repeated. [default: the first four]"
)
@click.option("--out", type=_PATH, help="The picture. [default: FILE with .png]")
@click.option("--data-root", type=_PATH, help="Folder of the images. [default: where FILE was made from]")
@one_line_errors
def show(file: Path, images: tuple[int, ...], out: Path | None, data_root: Path | None) -> None:
    """Draws the glimpses of FILE on their images, and the EPE maps that chose them.

    \b
    Examples:
      boed show runs/digits/sequences.h5
      boed show runs/celebahq-Male/sequences.h5 --image 3 --image 7 --out faces.png
    """
    store = SequenceStore.read(file)
    dataset = reopen(store, data_root)
    chosen = list(images) or store.ids[store.done][:4].tolist()
    sequences = store.load(store.rows_of(chosen))
    path = out or file.with_suffix(".png")
    geometry = Geometry(**store.settings["geometry"])
    draw_sequences(
        path,
        dataset["design"],
        sorted(set(chosen)),
        sequences.locations,
        sequences.epe_map,
        store.candidates,
        geometry,
    )
    click.echo(f"wrote {path}")


def open_task(options: dict[str, Any]) -> tuple[DataSet, Path]:
    """The data set of the options, and the run folder."""
    dataset = load(
        options["name"], options["data_root"], attribute=options["attribute"], canvas=options["canvas"]
    )
    if dataset.note:
        click.echo(dataset.note, err=True)
    return dataset, options["run_dir"] or default_run(dataset)


def default_run(dataset: DataSet) -> Path:
    """runs/DATASET, or runs/DATASET-TARGET where there are several targets."""
    several = dataset.target != "label"
    return Path("runs") / (f"{dataset.name}-{dataset.target}" if several else dataset.name)


def fit_options(dataset: DataSet, run: Path, options: dict[str, Any]) -> Approximations:
    """The approximations that the options ask for: fitted, or loaded where they are there."""
    given = {name: value for name, value in options.items() if value is not None}
    sensor = {name: given[name] for name in ("glimpse_size", "scales") if name in given}
    chosen = {name: given[name] for name in ("glimpses", "places", "iterations", "seed") if name in given}
    return fit_task(
        dataset, run / "approximations", device=choose_device(options["device"]), sensor=sensor, **chosen
    )


def image_count(images: str, available: int) -> int:
    """--images as a number: "all", or at most what there is."""
    if images == "all":
        return available
    if not images.isdecimal():
        raise SettingsError(f"expected a number of images or all, found {images!r}")
    return min(int(images), available) if int(images) else 0


def reopen(store: SequenceStore, data_root: Path | None) -> DataSet:
    """The data set that a store was made from."""
    made = store.origin
    dataset = load(
        made["name"], data_root or made["data_root"], attribute=made["attribute"], canvas=made["canvas"]
    )
    store.require({"fingerprint": dataset["design"].fingerprint})
    return dataset
