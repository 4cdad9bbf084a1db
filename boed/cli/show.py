"""The command `boed show`: parse, one call into the library, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from data.cli.commands import Command
from data.cli.options import PATH
from data.errors import SettingsError

if TYPE_CHECKING:
    from data.dataset import Split
    from data.sequences import Sequences
    from supervision.store import SequenceStore

AVERAGED = 300  # images behind a mean entropy, at most


@click.command(cls=Command)
@click.argument("file", type=PATH)
@click.option(
    "--image", "images", type=int, multiple=True, help="Image id; may be repeated. [default: the first four]"
)
@click.option("--out", type=PATH, help="The picture. [default: FILE with .png]")
@click.option("--data-root", type=PATH, help="Folder of the images. [default: where FILE was made from]")
def show(file: Path, images: tuple[int, ...], out: Path | None, data_root: Path | None) -> None:
    """Draws the glimpses of FILE on their images, what they show, and the maps that chose them.

    Maps are in nats of information that a glimpse is expected to gain: the entropy of q before it less the
    expected posterior entropy (EPE).

    \b
    Examples:
      boed show runs/digits/sequences.h5
      boed show runs/celebahq-Male/sequences.h5 --image 3 --image 7 --out faces.png
    """
    path = out or file.with_suffix(".png")
    if path.suffix.lower() != ".png":
        raise SettingsError(f"expected a picture FILE.png, found --out {path}")
    draw(file, images, path, data_root)
    click.echo(f"wrote {path}")


def draw(file: Path, images: tuple[int, ...], path: Path, data_root: Path | None) -> None:
    """Draws these images of a store, or its first four."""
    from boed.pictures import draw_sequences
    from supervision.store import SequenceStore

    store = SequenceStore.read(file)
    split = reopen(store, data_root)
    chosen = list(images) or store.ids[store.done][:4].tolist()
    sequences = of_all(store.load(store.rows_of(chosen)), store)
    draw_sequences(path, split, sorted(set(chosen)), sequences, store.candidates, store.geometry)


def of_all(sequences: Sequences, store: SequenceStore) -> Sequences:
    """The sequences; where a fixed order has one map for all images, with the mean entropy of these.

    What such a map says is of an average image: less the entropy of a single one it would be no gain.
    """
    from dataclasses import replace

    if store.settings.get("design", {}).get("source") != "fixed-order":
        return sequences
    some = store.done.nonzero().view(-1)[:AVERAGED]
    return replace(sequences, entropy=store.load(some).entropy.mean(0).expand_as(sequences.entropy))


def reopen(store: SequenceStore, data_root: Path | None) -> Split:
    """The images that a store was made for, of the design or the train split."""
    from data.registry import reopen as opened_again
    from supervision.finding import split_of

    dataset = opened_again(store.origin, data_root, store.name)
    if dataset.note:
        click.echo(dataset.note, err=True)
    return dataset[split_of(store, dataset)]
