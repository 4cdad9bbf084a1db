"""The command line `hardattn`: parse, one call into the library, print."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from data.options import GROUP_SETTINGS, PATH, Commands, one_line_errors, open_task, task_options
from hardattn.baselines import BASELINES
from hardattn.commands_sequences import parts, record
from hardattn.evaluate import Evaluation, output_files
from hardattn.evaluate import evaluate as evaluate_run
from hardattn.learner import DEFAULT_ITERATIONS, Budget
from hardattn.methods import METHODS, method_of
from hardattn.reproduce import MINUTES, as_text, table_names
from hardattn.reproduce import reproduce as reproduce_table
from hardattn.train import train as train_run
from hardattn.train_options import recipe_of, recipe_options, refuse_what_glimpses_need, wanted_geometry
from hardattn.whole_image import train_baseline
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
@click.option("--supervised-images", type=int, help="Use only so many of the sequences.")
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
    run_name: str | None,
    device: str,
    glimpses: int | None,
    glimpse_size: int | None,
    scales: int | None,
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
      hardattn train --method ps-fixed --supervise
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
    chosen = method_of(method, supervise is not None)
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
    _say_where(folder)


@main.command()
@click.argument("run_folder", metavar="RUN_DIR", type=PATH)
@click.option("--data-root", type=PATH, help="Evaluate the test images found here. [default: as in training]")
@click.option(
    "--trajectories",
    default=1,
    show_default=True,
    help="Of glimpses for each image. 1 is the most likely one; of more, drawn, predictions are averaged.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@one_line_errors
def evaluate(run_folder: Path, data_root: Path | None, trajectories: int, device: str, as_json: bool) -> None:
    """Accuracy after each glimpse and the accuracy-compute curve of RUN_DIR, a folder that `train` made.

    \b
    Examples:
      hardattn evaluate runs/digits/hardattn-ps-nogs-0
      hardattn evaluate runs/digits/hardattn-ps-nogs-0 --trajectories 10
      hardattn evaluate runs/celebahq-Male/hardattn-ps-nogs-0 --data-root OTHER --json
    """
    result = evaluate_run(run_folder, data_root, device=device, trajectories=trajectories)
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    click.echo(table(result))
    click.echo("wrote {} and {}".format(*output_files(run_folder, data_root)))


main.add_command(record)
main.add_command(parts)


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


def _say_where(folder: Path) -> None:
    click.echo(f"trained network in {folder}; next: hardattn evaluate {folder}")


@main.command()
@click.argument("name", type=click.Choice(table_names()))
@click.option("--data-root", type=PATH, help="Folder of the images, in the official layout.")
@click.option(
    "--minutes", type=float, default=MINUTES, show_default=True, help="Of training, all rows together."
)
@click.option("--row", "only", default="", help="Only rows whose name contains this.")
@click.option("--seed", default=0, show_default=True, help="Of weights, batches and draws.")
@click.option("--run", "run_dir", type=PATH, help="Folder of everything. [default: runs/reproduce/NAME]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@one_line_errors
def reproduce(name: str, data_root: Path | None, run_dir: Path | None, as_json: bool, **options: Any) -> None:
    """Trains the rows of a published table and prints them beside the published figures.

    The time is shared among the rows as the table's settings say; interrupted, the same command goes on. Test
    images are looked at once for each row, after its training.

    \b
    Examples:
      hardattn reproduce mnist-28 --data-root DIR --minutes 30
      hardattn reproduce translated-60 --data-root DIR --row parts --json
    """
    folder = run_dir or Path("runs") / "reproduce" / name
    found = reproduce_table(name, data_root, folder, say=partial(click.echo, err=True), **options)
    click.echo(json.dumps(found.to_json()) if as_json else as_text(found))


def sequences_of(supervise: str | None, run_dir: Path, stem: str) -> tuple[SequenceStore | None, list[str]]:
    """The store to imitate, and its stem as a list when it is not the method's own of the run."""
    if supervise is None:
        return None, []
    own = run_dir / f"{stem}.h5"
    path = own if supervise == OWN else Path(supervise)
    return SequenceStore.read(path), [] if path.resolve() == own.resolve() else [path.stem]


def table(result: Evaluation) -> str:
    """The figures for people."""
    task = f"{result.dataset} {result.target}"
    several = "one trajectory" if result.trajectories == 1 else f"mean of {result.trajectories} trajectories"
    seen = "the whole image" if result.method in BASELINES else several
    head = f"{task}, {result.method}, seed {result.seed}, {result.test_images} test images, {seen}"
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
        f"{result.seconds_to_convergence:.0f} s of training; {result.parameters:,} parameters"
    )
    return "\n".join([head, *rows, tail])
