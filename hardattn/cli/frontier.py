"""The command `hardattn frontier`: parse, one call into the library, print."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.cli.commands import Command, command_line
from data.cli.options import (
    PATH,
    AtLeast,
    Option,
    data_options,
    device_option,
    json_option,
    open_task,
    panel,
    workers_option,
)
from data.errors import SettingsError
from hardattn.experiments.choices import MINUTES, SEEDS

if TYPE_CHECKING:
    from hardattn.experiments.frontier.terms import Terms  # slow to import


class LearningRates(click.ParamType):  # type: ignore[type-arg]
    """Numbers above 0, apart by commas."""

    name = "rates"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        try:
            rates = tuple(map(float, value.split(",")))
        except ValueError:
            rates = ()
        if not rates or not all(0 < rate < math.inf for rate in rates) or len(set(rates)) < len(rates):
            raise SettingsError(
                f"expected different learning rates above 0, as 0.003,0.01; found {value!r}, change "
                "--learning-rates"
            )
        return rates


_NETWORKS = panel(
    "Networks",
    Option(
        ["--minutes"],
        type=float,
        help=f"Of training, all networks together. [default: {MINUTES}, without --iterations]",
    ),
    Option(["--iterations"], type=AtLeast(1), help="Of each training at most, instead of --minutes."),
    Option(
        ["--patience"],
        type=AtLeast(1),
        help="End a training sooner: after so many checks in a row without a smaller validation NLL.",
    ),
    Option(
        ["--learning-rates"],
        type=LearningRates(),
        metavar="A,B",
        help="Validation images choose one for each network, on the first seed. [default: the grid's]",
    ),
    Option(
        ["--grid"],
        type=PATH,
        help="The networks, a file as in hardattn/experiments/frontier/grids. [default: the data set's]",
    ),
    Option(
        ["--family", "families"],
        multiple=True,
        metavar="NAME",
        help="Only networks of this family of the grid; may be repeated. [default: all]",
    ),
    Option(
        ["--sequences"],
        type=PATH,
        help="Sequences to imitate. [default: those of the run, made by `boed` where they are missing]",
    ),
    Option(["--seed"], default=0, show_default=True, help="The first, of weights, batches and draws."),
    Option(["--seeds"], type=AtLeast(1), default=SEEDS, show_default=True, help="Trainings of each network."),
    workers_option(),
    device_option(),
)
_DATA = data_options("All is written into its frontier/.")


@click.command(cls=Command, resumable=True, params=[*_NETWORKS, *_DATA, *panel("Output", json_option())])
def frontier(grid: Path | None, sequences: Path | None, as_json: bool, **options: Any) -> None:
    """Accuracy against compute: hard attention beside networks on the whole image that are made to be cheap.

    Every network of the grid is trained for an equal share of the time, or for as many iterations, into
    RUN/frontier; interrupted, the same command goes on, and another time needs another --run. Validation
    images choose learning rates and the points of each family's frontier; the figures of the test images are
    in frontier.json and frontier.csv, and frontier.png shows them, for a sensor that bins pixels and with the
    additions that averaging them in software takes.

    \b
    Examples:
      hardattn frontier --minutes 20
      hardattn frontier --dataset celebahq --attribute Male --data-root DIR --minutes 60 --json
      hardattn frontier --seeds 3 --iterations 2000 --patience 5 --learning-rates 0.003,0.01
    """
    from hardattn.experiments.frontier.drawing import draw
    from hardattn.experiments.frontier.grid import of_families, read_grid
    from hardattn.experiments.frontier.result import PICTURE
    from hardattn.experiments.frontier.summary import as_text
    from hardattn.experiments.frontier.sweep import frontier
    from supervision.store import SequenceStore

    networks = of_families(read_grid(options["name"], grid), options["families"])
    terms = _terms(len(networks), options)
    task = open_task(options)
    result = frontier(
        task.dataset,
        networks,
        task.run,
        sequences=None if sequences is None else SequenceStore.read(sequences),
        command=command_line(),
        say=partial(click.echo, err=True),
        terms=terms,
        **{name: options[name] for name in ("seed", "seeds", "device", "workers")},
    )
    picture = task.run / "frontier" / PICTURE
    draw(result, picture)
    click.echo(json.dumps(result.to_json()) if as_json else f"{as_text(result)}\nwrote {picture}")


def _terms(networks: int, options: dict[str, Any]) -> Terms:
    """How long each network is trained; minutes are shared by all of them."""
    from hardattn.experiments.frontier.terms import Terms

    minutes, iterations = options["minutes"], options["iterations"]
    if minutes is None and iterations is None:
        minutes = MINUTES
    share = None if minutes is None else minutes / max(networks, 1)
    return Terms(share, iterations, options["patience"], options["learning_rates"] or ())
