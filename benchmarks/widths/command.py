"""What designed widths are worth to a network: `python -m benchmarks.widths --data-root DIR`.

Fits and designs twice, with squares of one side and of several, trains the same network by imitation on both
and compares them on the test images. What is done is kept: the same command goes on where it stopped.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.jobs import JobError, run_all
from benchmarks.sources import ATTRIBUTES
from benchmarks.widths.figures import Comparison, Designed, Seen, report
from benchmarks.widths.plan import Arm, Plan
from data import DATASETS, GlimpseError, load
from data.files import write_json
from hardattn.model.registry import POLICIES
from hardattn.training.recipe import Recipe
from supervision.store import SequenceStore

FACES, FACE_SIDES = "celebahq", "16,32,64,112,224"
DATA, SENSOR = ("data_root", "canvas", "image_size"), ("glimpses", "glimpse_size")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--dataset", type=click.Choice(list(DATASETS)), default=FACES, show_default=True, help="Data.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option(
    "--attribute", "attributes", multiple=True, help="May be repeated. [default: eight of celebahq]"
)
@click.option("--canvas", type=int, help="Side of the canvas in pixels (translated- and cluttered-mnist).")
@click.option("--image-size", type=int, help="Side that images are brought to, in pixels (cub, folder).")
@click.option("--glimpses", type=int, help="T. [default: the data set's]")
@click.option("--glimpse-size", type=int, help="Side of a glimpse in values. [default: the data set's]")
@click.option("--sides", help=f"To choose among. [default: {FACE_SIDES}; all of other data sets]")
@click.option("--retina", is_flag=True, help="Also a retina of three scales, with three times the values.")
@click.option("--images", default="all", show_default=True, help="How many training images are imitated.")
@click.option("--fit-iterations", type=int, help="Of each fit. [default: as of boed fit]")
@click.option("--fit-options", default="", help="More of boed fit, as '--places 60 --trial-images 200'.")
@click.option("--iterations", default=3000, show_default=True, help="Of training each network.")
@click.option(
    "--policy",
    type=click.Choice(list(POLICIES)),
    default="product",
    show_default=True,
    help="Of the networks.",
)
@click.option("--seeds", default=3, show_default=True, help="How many networks of each kind.")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu or cuda.")
@click.option("--jobs", "at_once", default=2, show_default=True, help="Commands side by side.")
@click.option(
    "--run", type=click.Path(path_type=Path), default=Path("runs/widths"), show_default=True, help="Folder."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write all figures there.")
def main(run: Path, at_once: int, json_file: Path | None, retina: bool, **options: Any) -> None:
    """Trains networks on designs with one width and with several, and says what widths are worth.

    \b
    Examples:
      python -m benchmarks.widths --data-root DIR
      python -m benchmarks.widths --dataset digits --iterations 500 --seeds 1
      python -m benchmarks.widths --dataset cluttered-mnist --canvas 60 --data-root DIR --retina
    """
    try:
        plan, arms = plan_of(run, options), Arm.all(sides_of(options), retina)
        run_all(plan.jobs(arms), run / "notes", at_once=at_once, say=lambda line: click.echo(line, err=True))
        comparison = compared(plan, arms, options["device"])
    except (JobError, GlimpseError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    if json_file is not None:
        write_json(json_file, {"settings": _public(options)} | comparison.to_json())
    click.echo(report(comparison))


def sides_of(options: dict[str, Any]) -> str:
    """Sides to choose among.

    >>> sides_of({"dataset": "digits", "sides": None})
    'all'
    """
    default = FACE_SIDES if options["dataset"] == FACES else "all"
    return str(options["sides"] or default)


def plan_of(run: Path, options: dict[str, Any]) -> Plan:
    """What is to be run; the training images are counted for that.

    Raises:
        GlimpseError: no such data, or an option that they do not take.
    """
    default = ATTRIBUTES if options["dataset"] == FACES else ()
    attributes = options["attributes"] or default
    asked = {
        "canvas": options["canvas"],
        "size": options["image_size"],
        "attribute": ",".join(attributes) or None,
    }
    dataset = load(options["dataset"], options["data_root"], **asked)
    fit = words({"iterations": options["fit_iterations"]}) + tuple(shlex.split(options["fit_options"]))
    return Plan(
        run,
        data=("--dataset", options["dataset"], *words({name: options[name] for name in DATA})),
        attributes=tuple(attributes),
        sensor=words({name: options[name] for name in SENSOR}),
        fit=fit,
        images=options["images"],
        iterations=options["iterations"],
        policy=options["policy"],
        seeds=options["seeds"],
        budget=budget_of(options["iterations"], len(dataset["train"])),
        device=("--device", options["device"]),
    )


def words(options: dict[str, Any]) -> tuple[str, ...]:
    """Options as parts of a command line; those that are None are left out.

    >>> words({"data_root": Path("here"), "canvas": None})
    ('--data-root', 'here')
    """
    given = {name: value for name, value in options.items() if value is not None}
    return tuple(
        part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))
    )


def budget_of(iterations: int, images: int) -> tuple[str, ...]:
    """Options of `hardattn train` that make so many iterations, which it rounds up to.

    >>> budget_of(10, 1280)
    ('--epochs', '0.95', '--batch-size', '128')
    """
    batch = Recipe.batch_size
    return "--epochs", str((iterations - 0.5) * batch / images), "--batch-size", str(batch)


def compared(plan: Plan, arms: Sequence[Arm], device: str) -> Comparison:
    """The figures of all networks, and the designs that they imitate."""
    networks, designs = dict[str, Any](), dict[str, Any]()
    for arm in arms:
        networks[arm.name] = {
            name_of(target): [Seen.of(plan.network(arm, target, n), device=device) for n in range(plan.seeds)]
            for target in plan.targets
        }
        designs[arm.name] = {name_of(target): designed(plan.store(arm, target)) for target in plan.targets}
    return Comparison(networks, designs)


def name_of(target: str | None) -> str:
    """Of a row."""
    return target or "label"


def designed(path: Path) -> Designed:
    """What a store holds."""
    store = SequenceStore.read(path)
    return Designed.of(store.load().locations, store.settings["weights"])


def _public(options: dict[str, Any]) -> dict[str, Any]:
    """The settings that shape the result, without where the images lie."""
    return {name: value for name, value in options.items() if value is not None and name != "data_root"}
