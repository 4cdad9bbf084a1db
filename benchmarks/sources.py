"""All sources of sequences under one judge: `python -m benchmarks.sources DATASET --data-root DIR`.

For every target: fits, makes sequences of each source, and of the published ones where they are given; then
one `boed compare` over everything. What is done is kept: the same command goes on where it stopped.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from benchmarks.jobs import Job, JobError, run_all
from boed.search.registry import SOURCES
from data import DATASETS

ATTRIBUTES = (
    "Male",
    "Smiling",
    "Mouth_Slightly_Open",
    "Eyeglasses",
    "Young",
    "Wearing_Lipstick",
    "No_Beard",
    "Wavy_Hair",
)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("dataset", type=click.Choice(list(DATASETS)))
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option(
    "--attribute", "attributes", multiple=True, help="Of celebahq; may be repeated. [default: eight of them]"
)
@click.option("--canvas", type=int, help="Side of the canvas in pixels (translated- and cluttered-mnist).")
@click.option("--glimpses", type=int, help="T. [default: the data set's]")
@click.option("--images", default="600", show_default=True, help="How many design images, or all.")
@click.option(
    "--published", type=click.Path(path_type=Path), help="Archive of published sequences (celebahq)."
)
@click.option("--judge-iterations", default=3000, show_default=True, help="Of training each judge.")
@click.option("--alike", default=1, show_default=True, help="See `boed compare --help`.")
@click.option("--seed", default=0, show_default=True, help="Of fits, sequences and judges.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/sources"), show_default=True, help="Folder."
)
@click.option("--jobs", "at_once", default=2, show_default=True, help="Commands side by side.")
def main(
    dataset: str,
    data_root: Path | None,
    attributes: tuple[str, ...],
    canvas: int | None,
    glimpses: int | None,
    images: str,
    published: Path | None,
    judge_iterations: int,
    alike: int,
    seed: int,
    out: Path,
    at_once: int,
) -> None:
    """Fits, designs, makes every other source's sequences, and judges them all.

    \b
    Examples:
      python -m benchmarks.sources celebahq --data-root DIR --published celebahq.tar.gz
      python -m benchmarks.sources cluttered-mnist --data-root DIR --glimpses 6 --alike 8
    """
    default: tuple[str | None, ...] = ATTRIBUTES if dataset == "celebahq" else (None,)
    chosen = attributes or default
    root = [] if data_root is None else ["--data-root", str(data_root)]
    judge = ["--iterations", str(judge_iterations), "--alike", str(alike), "--seed", str(seed)]
    jobs: list[Job] = []
    runs = [out / "-".join(part for part in (dataset, target) if part) for target in chosen]
    for target, run in zip(chosen, runs, strict=True):
        task = ["--dataset", dataset, *root, "--run", str(run), "--seed", str(seed)]
        options = {"--attribute": target, "--canvas": canvas, "--glimpses": glimpses}
        task += [word for name, value in options.items() if value is not None for word in (name, str(value))]
        jobs += commands(run, task, images, published, target, root)
    stores = [str(store) for run in runs for store in stores_of(run, published)]
    needs = tuple(f"{run.name}/generate" for run in runs)
    jobs.append(Job(f"{dataset}-compare", ["-m", "boed", "compare", *stores, "--json", *judge], needs))
    try:
        run_all(jobs, out / "notes", at_once=at_once, say=lambda line: click.echo(line, err=True))
    except JobError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    found = said(out / "notes" / f"{dataset}-compare.log")
    (out / f"{dataset}.json").write_text(json.dumps(found, indent=1) + "\n")
    click.echo(f"{found['sentence']}; all figures in {out / f'{dataset}.json'}")


def stores_of(run: Path, published: Path | None) -> list[Path]:
    """The stores of a run, the design first."""
    names = ["sequences.h5", *(f"sequences-{source}.h5" for source in SOURCES if source != "design")]
    return [run / name for name in names] + ([] if published is None else [run / "sequences-published.h5"])


def commands(
    run: Path, task: list[str], images: str, published: Path | None, target: str | None, root: list[str]
) -> list[Job]:
    """Fit, every source one after the other, and the import; the last one's name is RUN/generate."""
    jobs = [Job(f"{run.name}/fit", ["-m", "boed", "fit", *task])]
    calls = {source: ["generate", *task, "--source", source, "--images", images] for source in SOURCES}
    if published is not None and target is not None:
        out = ["--out", str(run / "sequences-published.h5")]
        calls["published"] = ["import", str(published), "--attribute", target, *root, *out]
    for number, (source, call) in enumerate(calls.items(), 1):
        name = "generate" if number == len(calls) else f"sequences-{source}"
        jobs.append(Job(f"{run.name}/{name}", ["-m", "boed", *call], (jobs[-1].name,)))
    return jobs


def said(log: Path) -> dict[str, object]:
    """The JSON object that a command printed among its progress bars."""
    line = next(line for line in reversed(log.read_text().splitlines()) if line.startswith("{"))
    return dict(json.loads(line))


if __name__ == "__main__":
    main()
