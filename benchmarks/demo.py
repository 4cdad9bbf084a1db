"""The whole pipeline on the built-in data set, by its command lines: `python -m benchmarks.demo`.

Designs glimpse sequences for small digits among clutter, trains three networks with the same number of
iterations (imitating the designs, imitating a fixed order, REINFORCE alone), and compares them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from benchmarks import figures
from benchmarks.figures import Run
from benchmarks.jobs import Job, JobError, run_all
from benchmarks.plan import ROWS, Plan

SHOWN = ("design", "fixed-order", "ram")
OUT = Path("runs/demo")
PLAN = Plan(OUT, data=("--dataset", "digits"), budget=("--epochs", "90"), device=("--device", "cpu"))


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """The whole pipeline on the built-in data set: designs, three networks, and how they compare.

    Makes what is missing in runs/demo, with two commands at a time, then prints a table and where the
    pictures are. It takes minutes; interrupted, the same command takes it up again.

    \b
    Example:
      python -m benchmarks.demo
    """
    began = time.monotonic()
    pictures = {row: PLAN.sequences(row).with_suffix(".png") for row in ("design", "fixed-order")}
    jobs = [*PLAN.jobs(SHOWN), *(_show(row, path) for row, path in pictures.items())]
    try:
        seconds = run_all(jobs, OUT / "jobs")
    except JobError as error:
        sys.exit(f"error: {error}")
    runs = {ROWS[row]: Run.of(PLAN.folder(row), _spent(row, seconds)) for row in SHOWN}
    print()
    print(summary(runs))
    print()
    print(f"glimpses on images and EPE maps:  {pictures['design']}, {pictures['fixed-order']}")
    for row in SHOWN:
        print(f"accuracy-compute curve:           {PLAN.folder(row) / 'curve.png'}")
    print(f"took {time.monotonic() - began:.0f} s; delete {OUT} to do it again")


def summary(runs: Mapping[str, Run]) -> str:
    """One line per method; glimpses and MFLOPs are those of adaptive stopping."""
    steps = list(next(iter(runs.values())).evaluation["accuracy_at"])
    head = ["method", *(f"t={t} %" for t in steps), "iterations", "seconds", "glimpses", "there %", "MFLOPs"]
    return figures.markdown(head, [_cells(label, run, steps) for label, run in runs.items()])


def _cells(label: str, run: Run, steps: Sequence[str]) -> list[str]:
    evaluation, point = run.evaluation, run.point
    return [
        label,
        *(f"{100 * evaluation['accuracy_at'][t]:.1f}" for t in steps),
        str(evaluation["iterations_to_convergence"]),
        f"{evaluation['seconds_to_convergence']:.0f}",
        f"{point['mean_glimpses']:.2f}",
        f"{100 * point['accuracy']:.1f}",
        f"{point['mflops']:.2f}",
    ]


def _show(row: str, path: Path) -> Job:
    command = ["-m", "boed", "show", str(PLAN.sequences(row)), "--out", str(path)]
    return Job(PLAN.name("show", row), command, (PLAN.name("generate", row),), path)


def _spent(row: str, seconds: Mapping[str, float]) -> dict[str, float]:
    steps = ("generate", "train", "evaluate")
    return {step: seconds.get(PLAN.name(step, row), 0.0) for step in steps}


if __name__ == "__main__":
    main()
