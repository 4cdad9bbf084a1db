"""The whole pipeline on the built-in data set, by its command lines: `python -m benchmarks.demo`.

Designs glimpse sequences for small digits among clutter, trains networks with the same few iterations
(imitating the designs of all images, imitating a fixed order, REINFORCE alone; three seeds of each), and
compares them.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import figures
from benchmarks.figures import Run, mean
from benchmarks.jobs import Job, JobError, run_all
from benchmarks.live import Live
from benchmarks.plan import ROWS, Plan
from benchmarks.warm import ForkedCommand, warm_up

SHOWN = ("design", "fixed-order", "ram")
SEEDS = (0, 1, 2)
OUT = Path("runs/demo")
REPORT = OUT / "report.html"
FIT = ("--iterations", "2500", "--trial-images", "150")
NETWORK = ("--core", "rnn", "--batch-norm", "--dropout", "0", "--no-augment", "--learning-rate", "0.006")
"""Learns something within few iterations; with more of them the defaults end higher."""
BUDGET = ("--epochs", "8")
EXPECTED = {"fit": 35.0, "generate": 8.0, "train": 7.0, "evaluate": 1.0, "show": 1.0, "report": 6.0}
"""Seconds of a command by its kind, on one core: what the time left is told from at first."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def main(as_json: bool) -> None:
    """The whole pipeline on the built-in data set: designs, networks, and how they compare.

    Makes what is missing in runs/demo, with two commands at a time, then prints a table of three seeds of
    each method, and writes runs/demo/report.html. It takes two to three minutes; interrupted, the same
    command takes it up again.

    \b
    Example:
      python -m benchmarks.demo
      python -m benchmarks.demo --json
    """
    began = time.monotonic()
    jobs = demo_jobs()
    live = Live(
        {job.name: EXPECTED[kind_of(job)] for job in jobs},
        bars={job.name for job in jobs if kind_of(job) == "train"},
    )
    click.echo("designs, then three networks by each of three methods; two commands at a time", err=True)
    warm_up()
    try:
        seconds = run_all(jobs, OUT / "jobs", say=live.say, start=ForkedCommand, watch=live)
    except JobError as error:
        sys.exit(f"error: {error}")
    live.close()
    if as_json:
        click.echo(json.dumps({"rows": rows(runs_of(seconds))}))
        return
    click.echo(summary(runs_of(seconds)))
    click.echo(f"\nmean and standard deviation over {len(SEEDS)} seeds of the networks; one set of designs")
    click.echo("chance is 10 %: in so few iterations REINFORCE alone does not get beyond it")
    click.echo(f"open {REPORT}; glimpses and EPE maps of the designs are in {picture('design')}")
    used = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    click.echo(f"took {time.monotonic() - began:.0f} s, {used:.0f} of a core; delete {OUT} to do it again")


def demo_jobs() -> list[Job]:
    """All commands, each once: those that others wait for, or that take longest, first."""
    jobs = {job.name: job for seed in SEEDS for job in plan_of(seed).jobs(SHOWN)}
    shown = [_show(row) for row in ("design", "fixed-order")]
    return [*sorted(jobs.values(), key=_waits_for), *shown, _report(list(jobs))]


def plan_of(seed: int) -> Plan:
    """The commands of one seed of the networks; the designs are those of the first."""
    data, device = ("--dataset", "digits"), ("--device", "cpu")
    budget = (*BUDGET, *NETWORK)
    return Plan(OUT, seed, data, budget=budget, device=device, fit=FIT, everyone=True, designed_by=SEEDS[0])


def kind_of(job: Job) -> str:
    """
    >>> kind_of(Job("seed-0/train-ram", []))
    'train'
    """
    return job.name.rpartition("/")[2].partition("-")[0]


def runs_of(seconds: Mapping[str, float]) -> dict[str, list[Run]]:
    """The finished runs of each row by its label, one for each seed."""
    return {
        ROWS[row]: [Run.of(plan.folder(row), _spent(plan, row, seconds)) for plan in map(plan_of, SEEDS)]
        for row in SHOWN
    }


def summary(runs: Mapping[str, Sequence[Run]]) -> str:
    """One line per method; glimpses and MFLOPs are those of adaptive stopping."""
    steps = list(next(iter(runs.values()))[0].evaluation["accuracy_at"])
    head = ["method", *(f"t={t} %" for t in steps), "iterations", "seconds", "glimpses", "there %", "MFLOPs"]
    return figures.markdown(head, [_cells(label, group, steps) for label, group in runs.items()])


def rows(runs: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """Accuracy after each glimpse, iterations and seconds of every network."""
    return [
        {
            "method": label,
            "seed": seed,
            "accuracy_at": list(run.evaluation["accuracy_at"].values()),
            "iterations": run.evaluation["iterations_to_convergence"],
            "seconds": run.evaluation["seconds_to_convergence"],
        }
        for label, group in runs.items()
        for seed, run in zip(SEEDS, group, strict=True)
    ]


def picture(row: str) -> Path:
    """Of the glimpses and EPE maps of a row's sequences."""
    return plan_of(SEEDS[0]).sequences(row).with_suffix(".png")


def _cells(label: str, runs: Sequence[Run], steps: Sequence[str]) -> list[str]:
    evaluations, points = [run.evaluation for run in runs], [run.point for run in runs]
    return [
        label,
        *(figures.deviation([100 * one["accuracy_at"][t] for one in evaluations]) for t in steps),
        f"{mean([one['iterations_to_convergence'] for one in evaluations]):.0f}",
        f"{mean([one['seconds_to_convergence'] for one in evaluations]):.0f}",
        f"{mean([point['mean_glimpses'] for point in points]):.2f}",
        f"{mean([100 * point['accuracy'] for point in points]):.1f}",
        f"{mean([point['mflops'] for point in points]):.2f}",
    ]


def _waits_for(job: Job) -> int:
    """Place in the order: what the others need, then trainings, then their evaluations."""
    return ["fit", "generate", "train", "evaluate"].index(kind_of(job))


def _show(row: str) -> Job:
    plan, path = plan_of(SEEDS[0]), picture(row)
    command = ["-m", "boed", "show", str(plan.sequences(row)), "--out", str(path)]
    return Job(plan.name("show", row), command, (plan.name("generate", row),), path)


def _report(needs: Sequence[str]) -> Job:
    folders = [str(plan_of(seed).folder(row)) for row in SHOWN for seed in SEEDS]
    command = ["-m", "hardattn", "report", *folders, "--out", str(REPORT), "--device", "cpu"]
    return Job("report", command, tuple(needs), REPORT)


def _spent(plan: Plan, row: str, seconds: Mapping[str, float]) -> dict[str, float]:
    steps = ("generate", "train", "evaluate")
    return {step: seconds.get(plan.name(step, row), 0.0) for step in steps}


if __name__ == "__main__":
    main()
