"""The command line `boed`: parse, one call into the library, print."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from boed.approximations import FILE
from boed.cli.benchmark import benchmark
from boed.cli.compare import compare, import_
from boed.cli.fit_options import combination_of, fit_options, fitted, fitted_jointly, folder_of
from boed.combination import require_search, require_unseen
from boed.estimators.bank import MEMORY_GB
from boed.generation import (
    candidates_of,
    describe,
    design_settings,
    require_glimpses,
)
from boed.generation import generate as generate_sequences
from boed.pictures import draw_sequences
from boed.search.designer import COMPLETIONS, Designer
from boed.search.lookahead import SEARCHES
from boed.search.registry import SOURCES
from data.cli.options import GROUP_SETTINGS, PATH, Commands, one_line_errors, open_task
from data.dataset import DataSet, Split
from data.device import at_device, choose_device
from data.errors import SettingsError
from data.geometry import Geometry
from data.registry import load
from data.sample import choose_images, image_count
from supervision.store import SequenceStore

SEQUENCES = "sequences"
DESIGNED_FOR = ("design", "train")


def design_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of a search."""
    for option in (
        click.option(
            "--memory-gb",
            type=click.FloatRange(min=0),
            default=MEMORY_GB,
            show_default=True,
            help="For what is kept of the bank.",
        ),
        click.option(
            "--coarse",
            is_flag=True,
            help="Score places from coarse to fine, and say how often that changes the choice.",
        ),
        click.option(
            "--shrink/--no-shrink",
            default=True,
            show_default=True,
            help="Shrink an image's map towards the average map (greedy search).",
        ),
        click.option(
            "--completions",
            type=click.IntRange(min=1),
            default=COMPLETIONS,
            show_default=True,
            help="Per image and glimpse.",
        ),
        click.option(
            "--search",
            type=click.Choice(SEARCHES),
            default=SEARCHES[0],
            show_default=True,
            help="One glimpse ahead, or several.",
        ),
    ):
        command = option(command)
    return command


@click.group(cls=Commands, context_settings=GROUP_SETTINGS)
def main() -> None:
    """Bayesian experimental design of glimpse sequences: learns approximations, designs, shows."""


main.add_command(import_)
main.add_command(compare)
main.add_command(benchmark)


@main.command()
@fit_options
@one_line_errors
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
    dataset, run, _ = open_task(**_task_of(options), several=True)
    if dataset.attributes:
        found = fitted_jointly(dataset, run, options)
    else:
        found = {folder_of(run, options): fitted(dataset, run, options)}
    for folder, learned in found.items():
        weights = ", ".join(f"{weight:g}" for weight in learned.weights)
        click.echo(f"approximations in {folder}; weight of an image's own map at each step: {weights}")


@main.command()
@fit_options
@design_options
@click.option("--images", default="600", show_default=True, help="How many images of the split, or all.")
@click.option(
    "--split",
    "part",
    type=click.Choice(DESIGNED_FOR),
    default=DESIGNED_FOR[0],
    show_default=True,
    help="Whose images to design for; train is for hardattn train --method nogs-all.",
)
@click.option(
    "--source",
    type=click.Choice(list(SOURCES)),
    default="design",
    show_default=True,
    help="Where sequences come from.",
)
@click.option(
    "--out", type=PATH, help="The store. [default: RUN/sequences.h5, or RUN/sequences[-train][-OPTIONS].h5]"
)
@one_line_errors
def generate(images: str, part: str, source: str, out: Path | None, **options: Any) -> None:
    """Designs a glimpse sequence for each image of a split; fits first where that has not been done.

    \b
    Examples:
      boed generate --images all
      boed generate --source fixed-order
      boed generate --split train --images all
      boed generate --dataset celebahq --attribute Male --data-root DIR --images 600
      boed generate --estimator amortised
      boed generate --search lookahead --images 50
    """
    require_search(combination_of(options), options["search"], options["coarse"])
    if part == "train":
        require_unseen(combination_of(options))
    dataset, run, origin = open_task(**_task_of(options))
    split = at_device(dataset[part], choose_device(options["device"]))
    ids = choose_images(split, image_count(images, len(split)))
    path = out or run / f"{SEQUENCES}{store_tag(source, options, part)}.h5"
    if path.exists():
        SequenceStore.read(path)  # refuses a damaged one before the long fit
    there = (folder_of(run, options) / FILE).exists()
    learned = fitted(dataset, run, options | ({"glimpses": None} if there else {}))  # fewer glimpses will do
    glimpses = options["glimpses"] or learned.glimpses
    require_glimpses(glimpses, learned)
    search = {name: options[name] for name in ("search", "completions", "shrink", "coarse", "memory_gb")}
    designer, seed = Designer(learned, **search), learned.settings.seed
    settings = design_settings(dataset, designer, source=source, seed=seed, split=part)
    store = SequenceStore.write_to(
        path, settings, ids, glimpses, candidates_of(learned, source), origin=origin
    )
    before, start = int(store.done.sum()), time.perf_counter()
    generate_sequences(designer, split, store, glimpses=glimpses, source=source, seed=seed, ids=ids)
    store.add_seconds(time.perf_counter() - start, int(store.done.sum()) - before)
    click.echo(f"{int(store.done.sum())} sequences of {glimpses} glimpses in {path}")
    if source == "design":
        done = store.ids[store.done]
        for line in describe(designer, split, done, store.load().locations, seed=seed):
            click.echo(line)
    method = "" if part == "design" else "--method nogs-all "
    click.echo(f"next, with the same data options: hardattn train {method}--supervise {path}")


@main.command()
@click.argument("file", type=PATH)
@click.option(
    "--image", "images", type=int, multiple=True, help="Image id; may be repeated. [default: the first four]"
)
@click.option("--out", type=PATH, help="The picture. [default: FILE with .png]")
@click.option("--data-root", type=PATH, help="Folder of the images. [default: where FILE was made from]")
@one_line_errors
def show(file: Path, images: tuple[int, ...], out: Path | None, data_root: Path | None) -> None:
    """Draws the glimpses of FILE on their images, and the EPE maps that chose them.

    \b
    Examples:
      boed show runs/digits/sequences.h5
      boed show runs/celebahq-Male/sequences.h5 --image 3 --image 7 --out faces.png
    """
    store = SequenceStore.read(file)
    split = reopen(store, data_root)
    chosen = list(images) or store.ids[store.done][:4].tolist()
    sequences = store.load(store.rows_of(chosen))
    path = out or file.with_suffix(".png")
    if path.suffix.lower() != ".png":
        raise SettingsError(f"expected a picture FILE.png, found --out {path}")
    geometry = Geometry(**store.settings["geometry"])
    draw_sequences(
        path,
        split,
        sorted(set(chosen)),
        sequences.locations,
        sequences.epe_map,
        store.candidates,
        geometry,
    )
    click.echo(f"wrote {path}")


def _task_of(options: dict[str, Any]) -> dict[str, Any]:
    """The options that `open_task` takes."""
    return {key: options[key] for key in ("name", "attribute", "canvas", "data_root", "run_dir")}


def store_tag(source: str, options: dict[str, Any], part: str = "design") -> str:
    """What the store's name adds to "sequences": the split, the source, what is not a design's default."""
    tag = "" if part == "design" else f"-{part}"
    if source != "design":
        return f"{tag}-{source}"
    tag += combination_of(options).tag
    tag += f"-{options['search']}" if options["search"] != SEARCHES[0] else ""
    tag += "" if options["shrink"] else "-no-shrink"
    return tag + ("-coarse" if options["coarse"] else "")


def reopen(store: SequenceStore, data_root: Path | None) -> Split:
    """The images that a store was made for."""
    dataset = load(**store.origin | ({"data_root": data_root} if data_root else {}))
    if dataset.note:
        click.echo(dataset.note, err=True)
    return split_of(store, dataset)


def split_of(store: SequenceStore, dataset: DataSet) -> Split:
    """The design split, or the train split where the sequences are of its images; refuses a third one."""
    found = store.settings.get("fingerprint")
    if dataset["design"].fingerprint != found and dataset["train"].fingerprint == found:
        return dataset["train"]
    store.require({"fingerprint": dataset["design"].fingerprint})
    return dataset["design"]
