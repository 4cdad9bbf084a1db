"""The command line `hardattn`: parse, one call into the library, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from data.cli.options import GROUP_SETTINGS, PATH, Commands, one_line_errors, open_task, task_options
from data.dataset import DataSet
from data.errors import SettingsError
from hardattn.baselines.registry import BASELINES
from hardattn.baselines.training import train_baseline
from hardattn.cli.evaluate import evaluate
from hardattn.cli.frontier import frontier
from hardattn.cli.predict import predict
from hardattn.cli.report import report
from hardattn.cli.reproduce import reproduce
from hardattn.cli.sequences import parts, record
from hardattn.cli.train_options import (
    recipe_of,
    recipe_options,
    refuse_what_baselines_need,
    refuse_what_glimpses_need,
    wanted_geometry,
)
from hardattn.distillation import SHARE, Teacher, teacher_of
from hardattn.objectives.methods import method_of
from hardattn.objectives.registry import METHODS
from hardattn.runs import train as train_run
from hardattn.training.budget import DEFAULT_ITERATIONS, Budget
from supervision.store import SequenceStore

TASK = ("name", "attribute", "canvas", "data_root", "run_dir")
OWN = "(of the run)"


@click.group(cls=Commands, context_settings=GROUP_SETTINGS)
def main() -> None:
    """Trains and evaluates hard-attention networks, with or without designed glimpse sequences."""


@main.command()
@task_options
@click.option(
    "--supervise",
    is_flag=False,
    flag_value=OWN,
    metavar="[FILE]",
    help="Imitate the glimpse sequences of FILE; without FILE, of the run's own, see --method.",
)
@click.option("--method", help=f"One of {', '.join(METHODS)}. [default: ps-nogs with --supervise, else ram]")
@click.option(
    "--baseline",
    type=click.Choice(list(BASELINES)),
    help="Train a rival that sees the whole image at once, instead of a hard-attention network.",
)
@click.option("--seed", default=0, show_default=True, help="Of weights, batches and draws.")
@click.option("--epochs", type=float, help=f"Length of training. [default: {DEFAULT_ITERATIONS} iterations]")
@click.option("--minutes", type=float, help="Length of training, by the clock.")
@click.option(
    "--supervised-images",
    type=int,
    help="Use only so many of the sequences: a fair sample, part of every larger one.",
)
@click.option(
    "--distil",
    type=PATH,
    metavar="RUN_DIR",
    help="Mix the class probabilities of this trained baseline into the labels of the training images.",
)
@click.option("--distil-share", type=float, help=f"Of these probabilities, above 0 to 1. [default: {SHARE}]")
@click.option(
    "--name",
    "run_name",
    help="Of the run's folder, hardattn-NAME-SEED. [default: METHOD, METHOD-FILE or BASELINE]",
)
@recipe_options
@one_line_errors
def train(
    supervise: str | None,
    method: str | None,
    baseline: str | None,
    seed: int,
    epochs: float | None,
    minutes: float | None,
    supervised_images: int | None,
    distil: Path | None,
    distil_share: float | None,
    run_name: str | None,
    device: str,
    glimpses: int | None,
    glimpse_size: int | None,
    scales: int | None,
    first_glance: bool | None,
    **options: Any,
) -> None:
    """Trains a network into RUN/hardattn-METHOD-SEED, or takes up the run that is there.

    With sequences of another file than the run's own it is RUN/hardattn-METHOD-FILE-SEED, and with a network
    on the whole image RUN/hardattn-BASELINE-SEED.

    \b
    Examples:
      hardattn train --supervise
      hardattn train --method random --minutes 1
      hardattn train --baseline fc --hidden 64
      hardattn train --baseline separable --width 0.5 --resolution 20
      hardattn train --method ps-fixed --supervise
      hardattn train --first-glance --name glance
      hardattn train --supervise --distil runs/digits/hardattn-cnn-0 --loss-at 4,2,1,1,1 --name anytime
      hardattn train --policy gaussian --core rnn --combine add --reward final --reward box=0.5 --name box
      hardattn train --dataset celebahq --attribute Male --data-root DIR --supervise
      hardattn train --dataset cluttered-mnist --canvas 60 --data-root DIR --glimpses 8
    """
    budget = Budget(epochs, minutes)
    task = {key: options[key] for key in TASK}
    if baseline is not None:
        refuse_what_glimpses_need(click.get_current_context())
        _train_baseline(baseline, task, run_name or baseline, recipe_of(options), budget, seed, device)
        return
    refuse_what_baselines_need(options)
    chosen = method_of(method, supervise is not None)
    dataset, run_dir, opened_with = open_task(**task)
    store, stem = sequences_of(supervise, run_dir, METHODS[chosen].sequences)
    folder = train_run(
        dataset,
        run_dir / "-".join(["hardattn", *([run_name] if run_name else [chosen, *stem]), str(seed)]),
        method=chosen,
        store=store,
        geometry=wanted_geometry(dataset, store, glimpse_size, scales, first_glance),
        glimpses=glimpses,
        supervised_images=supervised_images,
        teacher=_teacher(distil, distil_share, dataset, device),
        budget=budget,
        seed=seed,
        device=device,
        opened_with=opened_with,
        **recipe_of(options),
    )
    _say_where(folder)


main.add_command(evaluate)
main.add_command(predict)
main.add_command(record)
main.add_command(parts)
main.add_command(reproduce)
main.add_command(frontier)
main.add_command(report)


def _train_baseline(
    baseline: str,
    task: dict[str, Any],
    run_name: str,
    recipe: dict[str, Any],
    budget: Budget,
    seed: int,
    device: str,
) -> None:
    dataset, run_dir, opened_with = open_task(**task)
    folder = run_dir / f"hardattn-{run_name}-{seed}"
    train_baseline(
        dataset,
        folder,
        baseline,
        budget=budget,
        seed=seed,
        device=device,
        opened_with=opened_with,
        **recipe,
    )
    _say_where(folder)


def _teacher(run: Path | None, share: float | None, dataset: DataSet, device: str) -> Teacher | None:
    if run is not None:
        return teacher_of(run, dataset=dataset, share=SHARE if share is None else share, device=device)
    if share is not None:
        raise SettingsError("expected --distil RUN_DIR with --distil-share, found none; add it")
    return None


def _say_where(folder: Path) -> None:
    click.echo(f"trained network in {folder}; next: hardattn evaluate {folder}")


def sequences_of(supervise: str | None, run_dir: Path, stem: str) -> tuple[SequenceStore | None, list[str]]:
    """The store to imitate, and its stem as a list when it is not the method's own of the run."""
    if supervise is None:
        return None, []
    own = run_dir / f"{stem}.h5"
    path = own if supervise == OWN else Path(supervise)
    return SequenceStore.read(path), [] if path.resolve() == own.resolve() else [path.stem]
