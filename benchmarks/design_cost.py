"""What a designed sequence costs: `python -m benchmarks.design_cost RUN --data-root DIR`.

Seconds and FLOPs of a sequence by the published loop (`benchmarks.reference_loop`) and by the approximations
of a finished `boed fit`, in one run on one machine with the same threads. The loop is too long to be run:
some passes of its network are timed and multiplied. FLOPs are counted by torch, a multiply-add being 2; it
counts convolutions and matrix products. What is done once for a task is given apart. With `--fits` the fits
themselves are made and timed in the same run, see `benchmarks.fit_cost`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cost_report import Loop, Report, Row, Timed
from benchmarks.fit_cost import CASES, open_cases, time_case
from benchmarks.reference_loop import densenet, masked_batches
from benchmarks.stopwatch import Stopwatch, machine
from boed.approximations import FILE, Approximations
from boed.combination import Combination
from boed.estimators.epe import entropy
from boed.fitting.fit import fit
from boed.search.designer import Designer, design_sequences
from data import DATASETS, GlimpseError, load
from data.celebahq import DEFAULT_ATTRIBUTE
from data.dataset import DataSet, Split
from data.device import at_device, choose_device
from data.errors import CheckpointError
from data.places import places_at
from data.sample import sample_rows
from data.stages import Profile, profiled

COUNT = click.IntRange(min=1)


@torch.no_grad()
def time_loop(loop: Loop, network: torch.nn.Module, device: torch.device) -> Row:
    """The published loop, extrapolated from some passes. Finding the completions is not in it.

    Its first glimpse is the same for all images of a task, so that of many sequences each costs one step
    less; here every step counts.
    """
    network = network.to(device).eval()
    completions = torch.rand(loop.batch, 3, loop.side, loop.side, device=device)
    with FlopCounterMode(display=False) as counter:  # the first pass is slow, and not timed
        _score(network, completions, loop, 1, Stopwatch())
    clock, start = Stopwatch(), time.process_time()
    _score(network, completions, loop, loop.rounds, clock)
    spent = clock.total(), time.process_time() - start
    seconds, cpu_seconds = (each * loop.pairs / (loop.rounds * loop.batch) for each in spent)
    flops = counter.get_total_flops() * loop.pairs / loop.batch
    return Row("published loop", seconds, cpu_seconds, flops, True, clock.shares())


def _score(
    network: torch.nn.Module, completions: Tensor, loop: Loop, candidates: int, clock: Stopwatch
) -> None:
    """The last step of a sequence for some candidates and one batch of completions."""
    history = torch.tensor([[0, 0, loop.glimpse_size]]).expand(loop.glimpses - 1, 3)
    places = places_at(torch.arange(candidates)[:, None].expand(-1, 2), loop.glimpse_size)
    with clock.stage("masks"):
        for inputs in masked_batches(completions, history, places, loop.batch):
            with clock.stage("network"):
                logits = network(inputs)
            with clock.stage("entropies"):
                entropy(logits)


def time_designs(
    learned: Approximations, split: Split, rows: Tensor, weights: Sequence[float], name: str
) -> Row:
    """Sequences for the images `rows` of `split` by the search itself, timed and then counted.

    The average maps that images share are computed within, so that the more images the less each costs.

    Args:
        learned: from `boed fit`.
        split, rows: the images (B,).
        weights: (T,) weight of an image's own map at each step.
        name: of the row.
    """
    clock, designer, start = Profile(), Designer(learned), time.process_time()
    with profiled(clock):
        design_sequences(designer, split, rows, len(weights), weights, seed=0)
    spent = clock.total(), time.process_time() - start
    designer = Designer(learned)  # it knows no average map yet
    with FlopCounterMode(display=False) as counter:
        design_sequences(designer, split, rows, len(weights), weights, seed=0)
    seconds, cpu_seconds, flops = (total / len(rows) for total in (*spent, counter.get_total_flops()))
    return Row(name, seconds, cpu_seconds, flops, False, clock.shares())


def time_once(learned: Approximations) -> dict[str, float]:
    """Seconds and FLOPs of what is done once for a task, before its first design: the bank is embedded."""
    clock = Profile()
    with FlopCounterMode(display=False) as counter, profiled(clock):
        learned.forget()
        learned.embedded()
    return {"seconds": clock.total(), "flops": float(counter.get_total_flops())}


def time_run(
    dataset: DataSet, run: Path, images: int, device: torch.device
) -> tuple[list[Row], dict[str, float]]:
    """Rows of the designs of finished approximations for some images, and what is done once before them.

    The default combination, the same without shrinkage, and every other one whose parts are in the folder.
    """
    split = at_device(dataset["design"], device)
    rows = sample_rows(len(split), images).to(split.ids.device)
    folder = run / "approximations"
    if not (folder / FILE).exists():
        raise CheckpointError(f"expected the approximations of a finished fit in {folder}, found none")
    found: list[Row] = []
    once = {"seconds": 0.0, "flops": 0.0}
    for combination in present(folder):
        learned = fit(dataset, folder, device=device, combination=combination)
        if not found:
            once = time_once(learned)
            found.append(time_designs(learned, split, rows, (1.0,) * learned.glimpses, "own maps only"))
        name = ", ".join([combination.completion, combination.estimator, combination.score])
        found.append(time_designs(learned, split, rows, learned.weights, name))
    return found, once


def present(folder: Path) -> list[Combination]:
    """The default combination and those whose other parts were learned, in the order of their names."""
    files = {
        "estimator-cross-entropy.safetensors": Combination(estimator="amortised"),
        "completion-gaussian.safetensors": Combination.of(completion="gaussian"),
        "completion-cvae.safetensors": Combination.of(completion="cvae"),
        "completion-proposals.safetensors": Combination.of(completion="proposals"),
    }
    return [Combination(), *(its for name, its in files.items() if (folder / name).exists())]


def time_fits(
    names: Sequence[str], data_root: Path | None, attribute: str, images: int, device: torch.device
) -> list[Timed]:
    """Rows of the cases of these names, each said when it is there: the next may take long.

    Raises:
        GlimpseError: no such data, or not one attribute.
    """
    rows: list[Timed] = []
    for name, dataset in open_cases(names, data_root, attribute).items():
        for row in time_case(name, dataset, attribute, images, device):
            click.echo(f"{row.name}, {row.work}: {row.cpu_seconds:.3g} CPU s", err=True)
            rows.append(row)
    return rows


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option(
    "--dataset", type=click.Choice(list(DATASETS)), default="celebahq", show_default=True, help="Data."
)
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--attribute", help="What to predict (celebahq).")
@click.option("--canvas", type=int, help="Side of the canvas in pixels (translated- and cluttered-mnist).")
@click.option("--fits", "all_fits", is_flag=True, help="Also make the fits, and design with them.")
@click.option("--only", multiple=True, type=click.Choice(list(CASES)), help="Of the fits; may be repeated.")
@click.option("--images", type=COUNT, default=20, show_default=True, help="How many images to design for.")
@click.option("--completions", type=COUNT, default=200, show_default=True, help="Of the published loop.")
@click.option("--candidates", type=COUNT, default=2500, show_default=True, help="Of the published loop.")
@click.option("--glimpses", type=COUNT, default=5, show_default=True, help="Of the published loop, T.")
@click.option(
    "--passes", type=COUNT, default=8, show_default=True, help="Passes of its network that are timed."
)
@click.option("--batch", type=COUNT, default=4, show_default=True, help="Inputs of its network at a time.")
@click.option("--threads", type=COUNT, default=1, show_default=True, help="CPU threads, for all rows.")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu or cuda, for all rows.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of Markdown.")
def main(
    run: Path | None,
    images: int,
    threads: int,
    device: str,
    as_json: bool,
    dataset: str,
    all_fits: bool,
    only: tuple[str, ...],
    **options: Any,
) -> None:
    """Seconds and FLOPs of a designed sequence, and of the published loop beside it.

    Without RUN, the folder of a finished fit, and without --fits only the loop is timed.

    \b
    Examples:
      python -m benchmarks.design_cost runs/celebahq-Male --attribute Male --data-root DIR
      python -m benchmarks.design_cost --fits --data-root DIR
      python -m benchmarks.design_cost --only digits
      python -m benchmarks.design_cost --passes 400 --batch 200 --device cuda --json
    """
    loop = Loop(**{name: options.pop(name) for name in [*options] if name in Loop.__dataclass_fields__})
    torch.set_num_threads(threads)
    designs: list[Row] = []
    once, names = None, only or tuple(CASES if all_fits else ())
    try:
        where = choose_device(device)
        if run is not None:
            data = load(dataset, **options)
            images = min(images, len(data["design"]))
            designs, once = time_run(data, run, images, where)
        attribute = options["attribute"] or DEFAULT_ATTRIBUTE
        fits = time_fits(names, options["data_root"], attribute, images, where)
    except GlimpseError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    rows = [time_loop(loop, densenet(4, 2), where), *designs]
    report = Report(machine(where), threads, torch.__version__, images, loop, once, rows, fits)
    click.echo(json.dumps(asdict(report), indent=1) if as_json else report.text())


if __name__ == "__main__":
    main()
