"""The command line `hardattn`: parse, one call into the library, print."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from data.dataset import DataSet
from data.geometry import Geometry
from data.options import GROUP_SETTINGS, PATH, Commands, one_line_errors, open_task, task_options
from hardattn.evaluate import Evaluation, output_files
from hardattn.evaluate import evaluate as evaluate_run
from hardattn.learner import DEFAULT_ITERATIONS, Budget
from hardattn.methods import METHODS, method_of
from hardattn.train import train as train_run
from hardattn.train_options import recipe_of, recipe_options
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
@click.option("--seed", default=0, show_default=True, help="Of weights, batches and draws.")
@click.option("--epochs", type=float, help=f"Length of training. [default: {DEFAULT_ITERATIONS} iterations]")
@click.option("--minutes", type=float, help="Length of training, by the clock.")
@click.option("--supervised-images", type=int, help="Use only so many of the sequences.")
@click.option(
    "--name", "run_name", help="Of the run's folder, hardattn-NAME-SEED. [default: METHOD, or METHOD-FILE]"
)
@recipe_options
@one_line_errors
def train(
    supervise: str | None,
    method: str | None,
    seed: int,
    epochs: float | None,
    minutes: float | None,
    supervised_images: int | None,
    run_name: str | None,
    device: str,
    glimpses: int | None,
    glimpse_size: int | None,
    scales: int | None,
    **options: Any,
) -> None:
    """Trains a network into RUN/hardattn-METHOD-SEED, or takes up the run that is there.

    With sequences of another file than the run's own it is RUN/hardattn-METHOD-FILE-SEED.

    \b
    Examples:
      hardattn train --supervise
      hardattn train --method random --minutes 1
      hardattn train --method ps-fixed --supervise
      hardattn train --policy gaussian --core rnn --combine add --reward final --reward box=0.5 --name box
      hardattn train --dataset celebahq --attribute Male --data-root DIR --supervise
      hardattn train --dataset cluttered-mnist --canvas 60 --data-root DIR --glimpses 8
    """
    budget = Budget(epochs, minutes)
    chosen = method_of(method, supervise is not None)
    task = {key: options[key] for key in TASK}
    dataset, run_dir, opened_with = open_task(**task)
    store, stem = sequences_of(supervise, run_dir, METHODS[chosen].sequences)
    folder = train_run(
        dataset,
        run_dir / "-".join(["hardattn", *([run_name] if run_name else [chosen, *stem]), str(seed)]),
        method=chosen,
        store=store,
        geometry=wanted_geometry(dataset, store, glimpse_size, scales),
        glimpses=glimpses,
        supervised_images=supervised_images,
        budget=budget,
        seed=seed,
        device=device,
        opened_with=opened_with,
        **recipe_of(options),
    )
    click.echo(f"trained network in {folder}; next: hardattn evaluate {folder}")


@main.command()
@click.argument("run_folder", metavar="RUN_DIR", type=PATH)
@click.option("--data-root", type=PATH, help="Evaluate the test images found here. [default: as in training]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@one_line_errors
def evaluate(run_folder: Path, data_root: Path | None, device: str, as_json: bool) -> None:
    """Accuracy after each glimpse and the accuracy-compute curve of RUN_DIR, a folder that `train` made.

    \b
    Examples:
      hardattn evaluate runs/digits/hardattn-ps-nogs-0
      hardattn evaluate runs/celebahq-Male/hardattn-ps-nogs-0 --data-root OTHER --json
    """
    result = evaluate_run(run_folder, data_root, device=device)
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    click.echo(table(result))
    click.echo("wrote {} and {}".format(*output_files(run_folder, data_root)))


def sequences_of(supervise: str | None, run_dir: Path, stem: str) -> tuple[SequenceStore | None, list[str]]:
    """The store to imitate, and its stem as a list when it is not the method's own of the run."""
    if supervise is None:
        return None, []
    own = run_dir / f"{stem}.h5"
    path = own if supervise == OWN else Path(supervise)
    return SequenceStore.read(path), [] if path.resolve() == own.resolve() else [path.stem]


def wanted_geometry(
    dataset: DataSet, store: SequenceStore | None, glimpse_size: int | None, scales: int | None
) -> Geometry | None:
    """The geometry that options ask for, None without any; what is not asked for is the sequences'."""
    asked = {"glimpse_size": glimpse_size, "scales": scales}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return None
    default = Geometry(**store.settings["geometry"]) if store else dataset.geometry
    return replace(default, **given)


def table(result: Evaluation) -> str:
    """The figures for people."""
    task = f"{result.dataset} {result.target}"
    head = f"{task}, {result.method}, seed {result.seed}, {result.test_images} test images, one trajectory"
    rows = [f"{'glimpses':>10} {'accuracy %':>11} {'NLL, nats':>10} {'MFLOPs':>8}"]
    for t, accuracy in result.accuracy_at.items():
        mflops = int(t) * result.mflops_per_glimpse
        rows.append(f"{t:>10} {100 * accuracy:>11.1f} {result.nll_at[t]:>10.3f} {mflops:>8.2f}")
    for point in result.curve:
        if point.rule == "gain":
            rows.append(
                f"{point.mean_glimpses:>10.2f} {100 * point.accuracy:>11.1f} {point.nll:>10.3f} "
                f"{point.mflops:>8.2f}  stopped at a gain below {point.threshold:.4f}"
            )
    tail = (
        f"converged after {result.iterations_to_convergence} iterations, "
        f"{result.seconds_to_convergence:.0f} s of training"
    )
    return "\n".join([head, *rows, tail])
