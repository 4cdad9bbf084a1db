"""The options of commands that make sequences for images, and what these say at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich_click import RichOption

from data.cli.options import Option, panel
from supervision.choices import SPLITS

if TYPE_CHECKING:
    from supervision.store import SequenceStore


def images_options(default: str, *more: RichOption) -> list[click.Parameter]:
    """The options that name images: their split, and how many."""
    return panel(
        "Sequences",
        Option(
            ["--split", "part"],
            type=click.Choice(SPLITS),
            default=SPLITS[0],
            show_default=True,
            help="Of the images to make sequences for.",
        ),
        Option(["--images"], default=default, show_default=True, help="How many of them, or all."),
        *more,
    )


def say_what_next(store: SequenceStore, method: str, *, own: bool) -> None:
    """How many sequences there are, and what imitates them."""
    click.echo(f"{int(store.done.sum())} sequences of {store.steps} glimpses in {store.path}")
    file = "" if own else f" {store.path}"
    click.echo(f"next, with the same data options: hardattn train --method {method} --supervise{file}")
