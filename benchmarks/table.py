"""The table of the four rows on real data: `python -m benchmarks.table DATASET --data-root DIR`.

For each seed: fit, designed sequences, fixed-order sequences, then four networks with the same budget, each
evaluated on the test images. Two commands at a time with one thread each. What is done is not done again, so
the same command takes up an interrupted table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks import figures
from benchmarks.figures import Run
from benchmarks.jobs import JobError, run_all
from benchmarks.plan import LONG, ROWS, SUPERVISED, Plan
from data import DATASETS, GlimpseError, SettingsError

DATA = ("attribute", "canvas", "canvas_seed", "data_root")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("dataset", type=click.Choice(list(DATASETS)))
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option("--attribute", help="What to predict (celebahq).")
@click.option("--canvas", type=int, help="Side of the canvas in pixels (translated- and cluttered-mnist).")
@click.option(
    "--canvas-seed", type=int, help="Of placements of design and test images alone; see docs/data-sets.md."
)
@click.option("--scales", type=int, help="Scales of the retina. [default: the data set's]")
@click.option("--glimpse-size", type=int, help="Side of a glimpse in pixels. [default: the data set's]")
@click.option("--glimpses", type=int, help="Glimpses per image, T. [default: the data set's]")
@click.option("--seeds", default=3, show_default=True, help="How many; each has its own fit and designs.")
@click.option("--epochs", type=float, help="Length of every training. [default: hardattn's]")
@click.option("--minutes", type=float, help="Length of every training, by the clock.")
@click.option("--ram-factor", type=float, help="One more row: REINFORCE alone with so many times the budget.")
@click.option("--images", default=600, show_default=True, help="How many images get sequences.")
@click.option("--jobs", "at_once", default=2, show_default=True, help="Commands at a time, a thread each.")
@click.option("--device", help="auto, cpu or cuda. [default: auto]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of it all. [default: runs/table-...]")
def main(dataset: str, at_once: int, out: Path | None, **options: Any) -> None:
    """Designed supervision, fixed-order supervision, REINFORCE alone and random glimpses on DATASET.

    \b
    Examples:
      python -m benchmarks.table celebahq --attribute Male --data-root DIR --epochs 40 --ram-factor 10
      python -m benchmarks.table cluttered-mnist --canvas 60 --data-root DIR --glimpses 8 --scales 3
    """
    settings = {"dataset": dataset} | options
    out = out or default_folder(settings)
    try:
        require_same(out / "settings.json", settings)
        click.echo(f"making {out}; the same command takes it up again")
        click.echo(make(settings, out, at_once))
    except (GlimpseError, JobError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    click.echo(f"\nwrote {out / 'table.md'} and {out / 'results.json'}")


def default_folder(settings: Mapping[str, Any]) -> Path:
    """A folder of its own for each task.

    >>> default_folder({"dataset": "cluttered-mnist", "canvas": 60, "scales": 3, "minutes": 4.0}).as_posix()
    'runs/table-cluttered-mnist-canvas-60-scales-3'
    """
    parts = [settings["dataset"], *([settings["attribute"]] if settings.get("attribute") else [])]
    named = ("canvas", "canvas_seed", "scales", "glimpse_size", "glimpses")
    parts += [f"{name.replace('_', '-')}-{settings[name]}" for name in named if settings.get(name)]
    return Path("runs") / "-".join(["table", *parts])


def require_same(path: Path, settings: Mapping[str, Any]) -> None:
    """Writes the settings, or refuses a folder of others; seeds and a longer REINFORCE row may be added."""
    found = json.loads(path.read_text()) if path.exists() else {}
    own = {name: value for name, value in settings.items() if name not in ("seeds", "data_root")}
    if own["ram_factor"] is None:
        own["ram_factor"] = found.get("ram_factor")
    for name, value in own.items():
        if found.get(name, value) != value and not (name == "ram_factor" and found[name] is None):
            raise SettingsError(
                f"expected {path} with {name} = {value}, found {found[name]}; use another --out"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(own, indent=2) + "\n")


def plans_of(settings: Mapping[str, Any], out: Path) -> list[Plan]:
    """One plan for each seed."""
    data = ("--dataset", str(settings["dataset"]), *options_of(settings, *DATA))
    return [
        Plan(
            out / f"seed-{seed}",
            seed,
            data,
            options_of(settings, "scales", "glimpse_size", "glimpses"),
            options_of(settings, "epochs", "minutes"),
            settings["images"],
            options_of(settings, "device"),
        )
        for seed in range(settings["seeds"])
    ]


def options_of(settings: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    """Settings as options of the command lines; those that are not given are left out.

    >>> options_of({"data_root": Path("here"), "canvas": None}, "data_root", "canvas")
    ('--data-root', 'here')
    """
    given = [name for name in names if settings.get(name) is not None]
    return tuple(part for name in given for part in (f"--{name.replace('_', '-')}", str(settings[name])))


def make(settings: Mapping[str, Any], out: Path, at_once: int) -> str:
    """Runs what is missing; writes and returns the tables."""
    plans = plans_of(settings, out)
    factor = settings["ram_factor"]
    rows = dict(ROWS) | ({LONG: f"{ROWS['ram']}, {factor:g} x the budget"} if factor else {})
    longer = longer_budget(settings)
    jobs = [job for plan in plans for job in plan.jobs(list(rows), longer)]
    seconds = run_all(jobs, out / "jobs", at_once=at_once)
    runs = {label: collect(plans, row, seconds) for row, label in rows.items()}
    text = report(settings, runs, rows.get(LONG, ROWS["ram"]))
    (out / "table.md").write_text(text + "\n")
    figures = {label: [asdict(run) for run in group] for label, group in runs.items()}
    results = {"settings": public(settings), "rows": figures}
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    return text


def longer_budget(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The training options of the row with a multiple of the budget.

    >>> longer_budget({"ram_factor": 10.0, "epochs": 2.0, "minutes": None})
    ('--epochs', '20.0')
    """
    factor = settings["ram_factor"] or 1.0
    given = {name: settings[name] * factor for name in ("epochs", "minutes") if settings[name] is not None}
    if settings["ram_factor"] and not given:
        raise SettingsError("expected --epochs or --minutes with --ram-factor, found neither; add one")
    return options_of(given, *given)


def collect(plans: Sequence[Plan], row: str, seconds: Mapping[str, float]) -> list[Run]:
    """The runs of one row, one for each seed."""
    runs = []
    for plan in plans:
        spent = {step: seconds.get(plan.name(step, row), 0.0) for step in ("generate", "train", "evaluate")}
        spent["fit"] = seconds.get(plan.name("fit"), 0.0) if row in SUPERVISED else 0.0
        runs.append(Run.of(plan.folder(row), spent))
    return runs


def public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that shape the result: those given, without where the images lie."""
    return {name: value for name, value in settings.items() if value is not None and name != "data_root"}


def report(settings: Mapping[str, Any], runs: Mapping[str, Sequence[Run]], reinforce: str) -> str:
    """The Markdown text: settings, accuracy, convergence, wall time."""
    given = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in public(settings).items())
    return "\n\n".join(
        [
            f"# {settings['dataset']} {settings.get('attribute') or ''}".strip(),
            f"Settings: {given}.",
            figures.caption(settings["seeds"], reinforce),
            figures.accuracy_table(runs),
            figures.convergence_table(runs, reinforce),
            figures.time_table(runs),
        ]
    )


if __name__ == "__main__":
    main()
