"""The command `boed compare`: parse, one call into the library, print."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from boed.comparison.settings import JudgeSettings
from boed.posteriors.registry import POSTERIORS
from data.cli.commands import Command
from data.cli.options import PATH, Name, Option, device_option, json_option, panel

_JUDGES = panel(
    "Judges",
    Option(
        ["--iterations"],
        default=JudgeSettings.iterations,
        show_default=True,
        help="Of training each judge.",
    ),
    Option(
        ["--judges"],
        default=JudgeSettings.judges,
        show_default=True,
        help="Trainings per fold, whose probabilities are averaged.",
    ),
    Option(
        ["--alike"],
        default=JudgeSettings.alike,
        show_default=True,
        help="A training image takes the most fitting of so many random sequences of a source.",
    ),
    Option(
        ["--posterior"],
        type=Name(POSTERIORS),
        default=JudgeSettings.posterior,
        show_default=True,
        help="Kind of judge. glimpse-max judges designs that look elsewhere in every image.",
    ),
    Option(
        ["--balanced"],
        is_flag=True,
        help="Draw training images with all classes as frequent: judges then know a rare one.",
    ),
    Option(["--seed"], default=JudgeSettings.seed, show_default=True, help="Of judges and resamples."),
    device_option(),
)
_DATA_ROOT = Option(
    ["--data-root"], type=PATH, help="Folder of the images. [default: where STORE was made from]"
)


@click.command(
    cls=Command, staged=True, params=[*panel("Data", _DATA_ROOT), *_JUDGES, *panel("Output", json_option())]
)
@click.argument("paths", metavar="STORE...", type=PATH, nargs=-1, required=True)
def compare(
    paths: tuple[Path, ...], data_root: Path | None, device: str, as_json: bool, **chosen: Any
) -> None:
    """Judges the sequences of every STORE by a posterior that had no part in making them.

    Accuracy, NLL and calibration error after each glimpse with 95 % intervals over images, and whether the
    adaptive design beats the fixed order. Stores of several targets are compared target by target, and then
    on average over targets.

    \b
    Examples:
      boed compare runs/digits/sequences.h5 runs/digits/sequences-fixed-order.h5
      boed compare runs/celebahq-*/sequences*.h5 --json
    """
    settings = JudgeSettings(**chosen)
    from boed.comparison.compare import average
    from boed.comparison.stores import compare_stores, to_json
    from boed.comparison.verdict import sentence, table
    from data.device import choose_device

    say = partial(click.echo, err=True)
    comparisons = []
    for one in compare_stores(paths, settings, data_root=data_root, device=choose_device(device), say=say):
        comparisons.append(one)
        if not as_json:
            click.echo(f"{table(one)}\n{sentence(one)}\n")
    if as_json:
        click.echo(json.dumps(to_json(comparisons)))
    elif len(comparisons) > 1:
        mean = average(comparisons)
        click.echo(f"mean over {len(comparisons)} targets\n{table(mean)}\n{sentence(mean)}")
