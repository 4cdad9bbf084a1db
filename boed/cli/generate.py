"""The command `boed generate`: parse, one call into the library, print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boed.cli.fit_options import combination_of, fit_options, fitted, folder_of, require_possible
from boed.combination import require_price, require_search, require_unseen
from boed.engines.registry import ENGINES, engine
from boed.estimators.choices import MEMORY_GB
from boed.search.choices import COMPLETIONS, SEARCHES
from boed.search.registry import SOURCES
from data.cli.commands import Command
from data.cli.options import PATH, AtLeast, Name, Option, Task, Within, open_task, panel
from data.shards import Shard
from supervision.choices import SEQUENCES, SPLITS

if TYPE_CHECKING:
    from boed.approximations import Approximations
    from boed.engines.engine import Engine
    from supervision.store import SequenceStore

SEARCH = ("search", "completions", "shrink", "coarse", "pixel_price", "memory_gb")
_SEQUENCES = panel(
    "Sequences",
    Option(["--images"], default="600", show_default=True, help="How many images of the split, or all."),
    Option(
        ["--split", "part"],
        type=click.Choice(SPLITS),
        default=SPLITS[0],
        show_default=True,
        help="Whose images to design for; train is for hardattn train --method nogs-all.",
    ),
    Option(
        ["--source"],
        type=click.Choice(list(SOURCES)),
        default="design",
        show_default=True,
        help="Where sequences come from.",
    ),
    Option(
        ["--shard"],
        metavar="I/N",
        help="Design for the I-th of N shards of the images, into a store of its own; see boed merge.",
    ),
    Option(
        ["--out"],
        type=PATH,
        help="The store. [default: RUN/sequences.h5, or RUN/sequences[-train][-OPTIONS].h5; of a shard "
        "RUN/sequences[..]-shards/I-of-N.h5]",
    ),
)
_MACHINES = panel(
    "Machines",
    Option(
        ["--engine"],
        type=Name(ENGINES),
        default="local",
        show_default=True,
        help="local: processes of this machine; ray: those of a Ray cluster (extra ray).",
    ),
    Option(
        ["--workers"],
        type=AtLeast(1),
        help="Processes at a time, on the CPU. [default: 1 of local, and as many as Ray has cores]",
    ),
    Option(
        ["--address"],
        help="Of a running Ray cluster, as auto or ray://HEAD:10001. [default: a new one of this machine]",
    ),
)
_SEARCH = panel(
    "Search",
    Option(
        ["--search"],
        type=click.Choice(SEARCHES),
        default=SEARCHES[0],
        show_default=True,
        help="One glimpse ahead, or several.",
    ),
    Option(
        ["--completions"],
        type=click.IntRange(min=1),
        default=COMPLETIONS,
        show_default=True,
        help="Per image and glimpse.",
    ),
    Option(
        ["--shrink/--no-shrink"],
        default=True,
        show_default=True,
        help="Shrink an image's map towards the average map (greedy search).",
    ),
    Option(
        ["--coarse"],
        is_flag=True,
        help="Score places from coarse to fine, and say how often that changes the choice.",
    ),
    Option(
        ["--pixel-price"],
        type=Within(min=0),
        default=0.0,
        show_default=True,
        help="Nats that a place must gain for each pixel that it is averaged from (greedy search).",
    ),
    Option(
        ["--memory-gb"],
        type=Within(min=0),
        default=MEMORY_GB,
        show_default=True,
        help="For what each worker keeps of the bank.",
    ),
)


@click.command(
    cls=Command, resumable=True, staged=True, params=[*_SEQUENCES, *_MACHINES, *_SEARCH, *fit_options()]
)
def generate(
    images: str, part: str, source: str, shard: str | None, out: Path | None, **options: Any
) -> None:
    """Designs a glimpse sequence for each image of a split; fits first where that has not been done.

    \b
    Examples:
      boed generate --images all
      boed generate --source fixed-order
      boed generate --split train --images all
      boed generate --dataset celebahq --attribute Male --data-root DIR --images 600
      boed generate --estimator amortised
      boed generate --search lookahead --images 50
      boed generate --sides 8,16,40 --pixel-price 1e-4
      boed generate --images all --workers 4
      boed generate --images all --shard 2/16
    """
    piece = None if shard is None else Shard.parse(shard)
    spread = engine(options["engine"], workers=options["workers"], address=options["address"])
    require_possible(options)
    require_search(combination_of(options), options["search"], options["coarse"])
    require_price(options["pixel_price"], options["search"])
    if part == "train":
        require_unseen(combination_of(options))
    task = open_task(options)
    name = f"{SEQUENCES}{store_tag(source, options, part)}"
    path = out or task.run / (f"{name}-shards/{piece.file}" if piece else f"{name}.h5")
    store, about = designed(task, path, images, part, source, piece, spread, options)
    click.echo(f"{int(store.done.sum())} sequences of {store.steps} glimpses in {path}")
    for line in about:
        click.echo(line)
    if piece is not None:
        click.echo(
            f"next, with those of all {piece.of} shards: boed merge {path.parent} --out {task.run / name}.h5"
        )
        return
    method = "" if part == "design" else "--method nogs-all "
    click.echo(f"next, with the same data options: hardattn train {method}--supervise {path}")


def designed(
    task: Task,
    path: Path,
    images: str,
    part: str,
    source: str,
    shard: Shard | None,
    spread: Engine,
    options: Mapping[str, Any],
) -> tuple[SequenceStore, list[str]]:
    """The finished store at `path`, and what there is to say about its designs."""
    from boed.generation import describe, describe_reading
    from boed.search.designer import Designer
    from boed.stored_designs import store_designs
    from data.device import at_device
    from data.sample import choose_images, image_count
    from supervision.store import SequenceStore

    split = task.dataset[part]
    count = image_count(images, len(split))
    choose_images(split, count, shard)  # refuses none before the long fit
    if path.exists():
        SequenceStore.read(path)  # refuses a damaged one before the long fit
    designer = Designer(_fitted_for_fewer(task, options), **{name: options[name] for name in SEARCH})
    glimpses = options["glimpses"]
    store = store_designs(
        path,
        designer,
        task.dataset,
        split=part,
        glimpses=glimpses,
        images=count,
        source=source,
        shard=shard,
        engine=spread,
    )
    ids, places, learned = store.ids[store.done], store.load().locations, designer.learned
    about = describe_reading(places, learned.geometry) if learned.geometry.sides else []
    if source != "design":
        return store, about
    here = at_device(split, learned.places.device)
    return store, about + describe(designer, here, ids, places, seed=learned.settings.seed)


def _fitted_for_fewer(task: Task, options: Mapping[str, Any]) -> Approximations:
    """The approximations; those that are there may be of more glimpses than are asked for."""
    from boed.approximations import FILE

    there = (folder_of(task.run, options) / FILE).exists()
    return fitted(task, {**options, "glimpses": None} if there else options)


def store_tag(source: str, options: Mapping[str, Any], part: str = SPLITS[0]) -> str:
    """What the store's name adds to "sequences": the split, the source, what is not a design's default."""
    tag = "" if part == SPLITS[0] else f"-{part}"
    if source != "design":
        return f"{tag}-{source}"
    tag += combination_of(options).tag
    tag += f"-{options['search']}" if options["search"] != SEARCHES[0] else ""
    tag += "" if options["shrink"] else "-no-shrink"
    tag += "-coarse" if options["coarse"] else ""
    return tag + (f"-price-{options['pixel_price']:g}" if options["pixel_price"] else "")
