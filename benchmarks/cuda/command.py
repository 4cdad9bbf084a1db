"""What a GPU does with this project: `python -m benchmarks.cuda --data-root DIR --out gpu.json`.

One command, under seven minutes, for a machine that has torch, the packages of `pyproject.toml` and this
checkout: tests marked `cuda`, agreement with the CPU, images per second, seconds per design, peak memory, and
a whole run. Each stage is noted when it is done; one that fails is noted by its error, and one that would not
begin before the time is over is left out. With `--device cpu` the same is rehearsed in a minute, tiny.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import torch

from benchmarks.cuda.agreement import agreement
from benchmarks.cuda.speed import compiled_training, inference, now, training
from benchmarks.stopwatch import machine
from boed.approximations import Approximations
from boed.fitting.fit import fit
from boed.generation import candidates_of, design_settings, generate
from boed.search.designer import Designer, design_sequences
from data import DataSet, GlimpseError, load
from data.device import at_device, choose_device
from data.files import write_json
from data.geometry import Geometry
from data.gpu import is_gpu
from data.sample import choose_images, sample_rows
from hardattn.evaluation import evaluate
from hardattn.runs import train
from hardattn.training.budget import Budget
from supervision.store import SequenceStore

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 6.5
TEST_SECONDS = 150


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        seconds: of each rate that is measured.
        tasks: of `benchmarks.train_speed.TASKS`.
        side: of the made-up images that are designed for, in pixels; their glimpses are of 16.
        per_axis: places per axis, all of which are candidates.
        bank: made-up images.
        designs: how many images are designed for.
        completions: of each.
        iterations: of every fit.
        sequences: of the whole run.
        epochs: of its training.
        agreeing: images on which devices are compared.
        trials: images that designs are tried on in a fit; None: the usual number.
        digits: whether small tasks are the digits.
    """

    seconds: float = 2.0
    tasks: tuple[str, ...] = ("28", "60", "224")
    side: int = 224
    per_axis: int = 50
    bank: int = 1200
    designs: int = 8
    completions: int = 200
    iterations: int = 600
    sequences: int = 200
    epochs: int = 5
    agreeing: int = 64
    trials: int | None = None
    digits: bool = True


TINY = Size(0.01, ("28",), 48, 3, 90, 2, 5, 2, 4, 1, 6, trials=6, digits=False)


@dataclass
class Bench:
    """What the stages share.

    Attributes:
        device: that is measured.
        size: how much is done.
        data_root: of CelebA-HQ, or a part of it; None: the whole run is on the digits.
        folder: for what is kept meanwhile.
    """

    device: torch.device
    size: Size
    data_root: Path | None
    folder: Path
    figures: dict[str, Any] = field(default_factory=dict)

    def agrees(self) -> dict[str, Any]:
        """See `benchmarks.cuda.agreement`."""
        size, folder = self.size, self.folder / "agreement"
        return agreement(self.small(), self.device, folder, size.agreeing, size.iterations)

    def trains(self) -> dict[str, Any]:
        """Images per second in training, see `benchmarks.cuda.speed`."""
        return {task: training(task, self.device, self.size.seconds) for task in self.size.tasks}

    def infers(self) -> dict[str, Any]:
        """Images per second in inference."""
        return {task: inference(task, self.device, self.size.seconds) for task in self.size.tasks}

    def compiles(self) -> dict[str, Any]:
        """Images per second of compiled steps, and how long they take to be compiled."""
        return {
            task: compiled_training(task, self.device, self.size.seconds) for task in self.size.tasks[-1:]
        }

    def designs(self) -> dict[str, Any]:
        """Seconds of a design by all candidates, each image with its own maps."""
        size, dataset = self.size, made_up(self.size)
        chosen: dict[str, Any] = {
            "places": size.per_axis**2,
            "iterations": size.iterations // 6 + 1,
            "trial_images": 20,
        }
        learned = fit(dataset, device=self.device, **chosen)
        split = at_device(dataset["design"], self.device)
        rows, steps = sample_rows(len(split), size.designs).to(self.device), learned.glimpses
        learned.embedded()
        designer = Designer(learned, completions=size.completions, shrink=False)
        with self.timed() as seconds:
            design_sequences(designer, split, rows, steps, designer.weights, seed=0)
        facts = {"candidates": len(learned.places), "completions": size.completions, "glimpses": steps}
        return facts | {"seconds_per_design": seconds[0] / len(rows)}

    def runs(self) -> dict[str, Any]:
        """Seconds of each command of a whole run, and what comes out."""
        dataset = load("celebahq", self.data_root) if self.data_root else self.small()
        size, folder, spent = self.size, self.folder / "run", dict[str, float]()
        with self.timed() as seconds:
            images = sum(len(dataset[split]) for split in dataset)
        spent["decode"] = seconds[0]
        with self.timed() as seconds:
            few: dict[str, Any] = {"iterations": size.iterations, "trial_images": size.trials}
            learned = fit(dataset, folder / "fit", device=self.device, **few)
        spent["fit"] = seconds[0]
        with self.timed() as seconds:
            store = self._store(dataset, learned, folder)
        spent["generate"] = seconds[0]
        budget, name = Budget(epochs=size.epochs), str(self.device)
        with self.timed() as seconds:
            train(dataset, folder / "net", store=store, budget=budget, device=name)
        spent["train"] = seconds[0]
        with self.timed() as seconds:
            found = evaluate(folder / "net", dataset=dataset, device=name)
        spent["evaluate"] = seconds[0]
        accuracy = found.accuracy_at[str(max(map(int, found.accuracy_at)))]
        return {"dataset": dataset.name, "images": images, "seconds_of": spent, "accuracy": accuracy}

    def _store(self, dataset: DataSet, learned: Approximations, folder: Path) -> SequenceStore:
        """Sequences for some design images."""
        designer, split = Designer(learned), dataset["design"]
        ids = choose_images(split, min(self.size.sequences, len(split)))
        settings = design_settings(dataset, designer, source="design", seed=0)
        facts = (ids, dataset.glimpses, candidates_of(learned, "design"))
        store = SequenceStore.write_to(folder / "sequences.h5", settings, *facts)
        generate(designer, at_device(split, self.device), store, glimpses=dataset.glimpses)
        return store

    def tests(self) -> dict[str, Any]:
        """The tests marked `cuda`: how they ended."""
        command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", "tests"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TEST_SECONDS)
        lines = done.stdout.strip().splitlines()
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        return {"ended_with": done.returncode, "summary": lines[-1] if lines else "", "failed": failed}

    def small(self) -> DataSet:
        """A small task: the digits, or noise in a rehearsal."""
        return load("digits") if self.size.digits else made_up(self.size)

    @contextmanager
    def timed(self) -> Iterator[list[float]]:
        """Seconds of the block, in a list once it is over; a GPU is waited for."""
        seconds, start = list[float](), self.now()
        yield seconds
        seconds.append(round(self.now() - start, 4))

    def now(self) -> float:
        """Seconds; a GPU is waited for."""
        return now(self.device)


STAGES: Mapping[str, Callable[[Bench], dict[str, Any]]] = {
    "agreement": Bench.agrees,
    "training": Bench.trains,
    "inference": Bench.infers,
    "design": Bench.designs,
    "whole_run": Bench.runs,
    "tests": Bench.tests,
    "compiled": Bench.compiles,
}

LONGEST = {"tests": 1.5, "compiled": 2.0}
"""Minutes that these may take: they begin only where so much time is left."""


def made_up(size: Size) -> DataSet:
    """Noise images, all of whose places are candidates."""
    random, shape = np.random.default_rng(0), (size.bank, size.side, size.side, 3)
    images = random.integers(0, 256, shape, dtype=np.uint8)
    dataset = DataSet.from_arrays(images, np.arange(size.bank) % 2, name="noise", glimpse_size=16)
    dataset.geometry = Geometry(size.side, size.side, 3, glimpse_size=16, per_axis=size.per_axis)
    return dataset


def measured(stage: Callable[[Bench], dict[str, Any]], bench: Bench) -> dict[str, Any]:
    """The figures of a stage, its seconds and its largest use of the device's memory; or its error."""
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(bench.device)
    start = bench.now()
    try:
        found = stage(bench)
    except Exception as error:  # the other stages are worth having without it
        found = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    found["seconds"] = round(bench.now() - start, 2)
    if bench.device.type == "cuda":
        found["peak_mebibytes"] = round(torch.cuda.max_memory_allocated(bench.device) / 2**20)
    return found


def all_measured(bench: Bench, minutes: float, names: tuple[str, ...], out: Path) -> dict[str, Any]:
    """Figures of the stages of these names, written to `out` as they come."""
    start = time.perf_counter()
    facts = {"device": machine(bench.device), "torch": torch.__version__, "cuda": torch.version.cuda}
    figures: dict[str, Any] = {**facts, "stages": {}}
    for name in names:
        late = time.perf_counter() - start > 60 * (minutes - LONGEST.get(name, 0.0))
        figures["stages"][name] = {"left_out": "time"} if late else measured(STAGES[name], bench)
        figures["seconds"] = round(time.perf_counter() - start, 1)
        write_json(out, figures)
        click.echo(f"{name}: {json.dumps(figures['stages'][name])}", err=True)
    return figures


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--data-root", type=click.Path(path_type=Path), help="CelebA-HQ or a part of it. [default: digits]"
)
@click.option("--device", default="cuda", show_default=True, help="cuda; cpu rehearses.")
@click.option("--stage", "names", type=click.Choice(list(STAGES)), multiple=True, help="[default: all]")
@click.option("--minutes", default=MINUTES, show_default=True, help="After which no stage begins.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("cuda.json"), show_default=True)
def main(data_root: Path | None, device: str, names: tuple[str, ...], minutes: float, out: Path) -> None:
    """Tests, agreement, speed, memory and a whole run on a GPU, as one JSON file.

    \b
    Examples:
      python -m benchmarks.cuda --data-root celebahq --out h100.json
      python -m benchmarks.cuda --device cpu
    """
    try:
        chosen = choose_device(device)
    except GlimpseError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    with TemporaryDirectory() as folder:
        bench = Bench(chosen, Size() if is_gpu(chosen) else TINY, data_root, Path(folder))
        figures = all_measured(bench, minutes, names or tuple(STAGES), out)
    wrong = [name for name, found in figures["stages"].items() if "error" in found]
    if wrong:
        click.echo(f"error: no figures of {', '.join(wrong)}; see {out}", err=True)
        sys.exit(1)
