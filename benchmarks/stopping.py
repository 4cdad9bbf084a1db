"""Stopping rules, on average over attributes: `python -m benchmarks.stopping --data-root DIR`.

For each attribute it fits, designs and trains a network; what is done is kept. Or finished runs are compared:
`--of RUN_DIR`, once for each. Thresholds come from validation images.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from benchmarks.figures import markdown
from benchmarks.intervals import as_json, cells
from benchmarks.jobs import Job, JobError, run_all
from benchmarks.looking import look_at_test
from benchmarks.sources import ATTRIBUTES
from data import GlimpseError, SettingsError
from data.dataset import DataSet
from data.files import write_json
from data.measures import Measure, resampling
from hardattn.evaluation import RESAMPLES, stopping_settings
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Stops

BETWEEN = (0.25, 0.5, 0.75)  # glimpses after the first, where a curve is steep
RIVALS, OURS, AIM = ("fixed", "act"), ("gain", "accuracy-gain"), 2.0


@dataclass(frozen=True)
class Sweep:
    """What one network does on N test images under P thresholds of each rule.

    Attributes:
        originals: (N,) of which original each image is a version; versions are drawn together.
        taken, right: rule -> (P, N) glimpses, and whether the prediction is right.
        steps: T.
    """

    originals: np.ndarray
    taken: Mapping[str, np.ndarray]
    right: Mapping[str, np.ndarray]
    steps: int

    @classmethod
    def of(cls, run_folder: Path, *, dataset: DataSet | None = None, device: str = "auto") -> Sweep:
        """Of a run that `hardattn train` made."""
        run, images, looks = look_at_test(run_folder, dataset=dataset, device=device)
        settings, _ = stopping_settings(run, (), {})
        seen, labels = looks.predictions, images.labels.cpu()
        found: dict[str, list[Stops]] = {rule: [] for rule, _ in settings}
        for rule, threshold in settings:
            found[rule].append(RULES[rule].stops(seen, threshold))
        taken = {rule: _rows(its.taken for its in stops) for rule, stops in found.items()}
        right = {
            rule: _rows(its.log_probs.argmax(1) == labels for its in stops) for rule, stops in found.items()
        }
        return cls(images.originals.numpy(), taken, right, seen.log_probs.shape[1])


def _rows(values: Iterable[Tensor]) -> np.ndarray:
    return torch.stack(list(values)).double().numpy()


def grid(steps: int) -> list[float]:
    """Mean numbers of glimpses to compare at: close to the first one in quarters, then in halves, below T.

    >>> grid(3)
    [1.25, 1.5, 1.75, 2.0, 2.5]
    """
    return [1 + part for part in BETWEEN if steps > 1] + [half / 2 for half in range(4, 2 * steps)]


def pooled(sweeps: Sequence[Sweep], *, seed: int = 0) -> dict[str, Measure]:
    """Mean over networks of the accuracy at each mean number of glimpses; NaN where a rule takes more.

    Between two thresholds one may toss a coin, so accuracy is linear there. With the accuracy after all T
    glimpses under the name "all". Images are drawn with replacement, the same for all networks.

    Raises:
        SettingsError: the networks were not trained for the same images and glimpses.
    """
    first = sweeps[0]
    if any(its.steps != first.steps or not np.array_equal(its.originals, first.originals) for its in sweeps):
        raise SettingsError("expected runs on the same test images with as many glimpses, found others")
    drawn = resampling(torch.from_numpy(first.originals), seed=seed, resamples=RESAMPLES)
    counts = np.concatenate([np.ones((1, drawn.shape[1])), drawn])
    measures = {
        rule: np.mean([_at(its.taken[rule], its.right[rule], counts, first.steps) for its in sweeps], axis=0)
        for rule in first.taken
    }
    last = np.mean([_mean(its.right["fixed"][-1:], counts) for its in sweeps], axis=0)
    return {rule: Measure(rows[0], rows[1:]) for rule, rows in (measures | {"all": last}).items()}


def _at(taken: np.ndarray, right: np.ndarray, counts: np.ndarray, steps: int) -> np.ndarray:
    """(R, M) accuracy in each resample at the M mean numbers of glimpses of the grid."""
    wanted, glimpses, accuracy = np.array(grid(steps)), _mean(taken, counts), _mean(right, counts)
    rows = list[np.ndarray]()
    for x, y in zip(glimpses, accuracy, strict=True):
        order = np.argsort(x, kind="stable")
        rows.append(np.interp(wanted, x[order], y[order]))
    return np.where(wanted < glimpses[0].min(), np.nan, np.stack(rows))


def _mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(R, P) means in each resample of values (P, N)."""
    means: np.ndarray = counts @ values.T / counts.sum(1, keepdims=True)
    return means


def differences(measures: Mapping[str, Measure]) -> dict[tuple[str, str], Measure]:
    """(rule, rival) -> by how much the rule is above it on the same images, for each gain rule and rival.

    The images that one rule gets wrong the other mostly gets wrong as well, so the interval of the difference
    is narrower than two intervals beside each other suggest.
    """
    pairs = [(rule, rival) for rule in OURS if rule in measures for rival in RIVALS if rival in measures]
    return {(rule, rival): measures[rule].minus(measures[rival]) for rule, rival in pairs}


def verdict(measures: Mapping[str, Measure], steps: int) -> dict[str, Any]:
    """Whether the goal is met by each of the gain rules, and where it is not.

    The goal: at every mean number of glimpses below T its interval lies above those of fixed glimpses and of
    adaptive computation time (where that takes so few), and at 2 it is as accurate as all T. Beside it, where
    the interval of the paired difference does not lie above 0, which asks for less.
    """
    places, tops = (
        grid(steps),
        {rival: measures[rival].interval()[1] for rival in RIVALS if rival in measures},
    )
    said: dict[str, Any] = {}
    for rule in (name for name in OURS if name in measures):
        low, _ = measures[rule].interval()
        by = {rival: measures[rule].minus(measures[rival]).interval()[0] for rival in tops}
        behind = {rival: _behind(low, top, places) for rival, top in tops.items()}
        paired = {rival: _behind(by[rival], 0.0 * top, places) for rival, top in tops.items()}
        reached = AIM in places and bool(measures[rule].value[places.index(AIM)] >= measures["all"].value[0])
        met = reached and not any(behind.values())
        said[rule] = {"not above": behind, "paired": paired, "as good as all at 2": reached, "met": met}
    return said


def _behind(low: np.ndarray, top: np.ndarray, places: Sequence[float]) -> list[float]:
    """Where an interval does not lie above a rival's, which is NaN where the rival takes more glimpses."""
    return [m for m, mine, its in zip(places, low, top, strict=True) if not (mine > its or np.isnan(its))]


def report(measures: Mapping[str, Measure], steps: int) -> str:
    """The table in Markdown, % with 95 % intervals, and the verdict."""
    rows = [[rule, *cells(measure)] for rule, measure in measures.items() if rule != "all"]
    head = ["accuracy at mean glimpses of", *(f"{m:g}" for m in grid(steps))]
    above = [[f"{rule} - {rival}", *cells(by)] for (rule, rival), by in differences(measures).items()]
    lines = [markdown(head, rows), "", f"All {steps} glimpses: {cells(measures['all'])[0]}.", ""]
    lines += [markdown(["above, on the same images", *head[1:]], above), ""]
    lines += [f"{rule}: {_sentence(its)}." for rule, its in verdict(measures, steps).items()]
    return "\n".join(lines)


def _sentence(its: Mapping[str, Any]) -> str:
    """A verdict in words."""
    as_good = "as good at 2 as with all" if its["as good as all at 2"] else "not as good at 2 as with all"
    paired = f"image by image {', '.join(_where(its['paired']))}"
    met = "goal met" if its["met"] else "goal not met"
    return "; ".join([met, *_where(its["not above"]), paired, as_good])


def _where(behind: Mapping[str, Sequence[float]]) -> list[str]:
    """Rivals, each with the numbers of glimpses at which it is not left behind."""
    faults = [f"not above {rival} at {', '.join(f'{m:g}' for m in at)}" for rival, at in behind.items() if at]
    return faults or ["above fixed and act everywhere"]


def jobs_of(attribute: str, run: Path, data_root: Path | None, training: Sequence[str]) -> list[Job]:
    """Fit, designs and training for one attribute."""
    root = [] if data_root is None else ["--data-root", str(data_root)]
    task = ["--dataset", "celebahq", "--attribute", attribute, *root, "--run", str(run)]
    names = [f"{run.name}/{step}" for step in ("fit", "generate", "train")]
    calls = [["boed", "fit", *task], ["boed", "generate", *task, "--images", "600"]]
    calls.append(["hardattn", "train", *task, "--supervise", *training])
    needs = [(), (names[0],), (names[1],)]
    return [Job(name, ["-m", *call], of) for name, call, of in zip(names, calls, needs, strict=True)]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of CelebA-HQ.")
@click.option("--attribute", "attributes", multiple=True, help="May be repeated. [default: eight of them]")
@click.option("--of", "runs", multiple=True, type=click.Path(path_type=Path), help="A finished run instead.")
@click.option("--epochs", type=float, help="Of training. [default: as of hardattn train]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--jobs", "at_once", default=2, show_default=True, help="Commands side by side.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/stopping"), show_default=True, help="Folder."
)
def main(
    data_root: Path | None,
    attributes: tuple[str, ...],
    runs: tuple[Path, ...],
    epochs: float | None,
    device: str,
    at_once: int,
    out: Path,
) -> None:
    """Trains one network per attribute, pools the curves of their stopping rules and says who wins.

    \b
    Examples:
      python -m benchmarks.stopping --data-root DIR
      python -m benchmarks.stopping --of runs/celebahq-Male/hardattn-ps-nogs-0
    """
    training = ["--device", device, *([] if epochs is None else ["--epochs", str(epochs)])]
    try:
        if not runs:
            folders = {name: out / f"celebahq-{name}" for name in attributes or ATTRIBUTES}
            jobs = [job for name, run in folders.items() for job in jobs_of(name, run, data_root, training)]
            run_all(jobs, out / "notes", at_once=at_once, say=lambda line: click.echo(line, err=True))
            runs = tuple(run / "hardattn-ps-nogs-0" for run in folders.values())
        click.echo(write([Sweep.of(run, device=device) for run in runs], runs, out))
    except (JobError, GlimpseError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def write(sweeps: Sequence[Sweep], runs: Sequence[Path], out: Path) -> str:
    """Writes stopping.json and stopping.md; returns the latter."""
    steps, measures = sweeps[0].steps, pooled(sweeps)
    curves = {rule: as_json(measure) for rule, measure in measures.items()}
    out.mkdir(parents=True, exist_ok=True)
    facts = {"runs": [str(run) for run in runs], "glimpses": grid(steps), "curves": curves}
    write_json(out / "stopping.json", facts | {"verdict": verdict(measures, steps)})
    text = report(measures, steps)
    (out / "stopping.md").write_text(text + "\n")
    return text


if __name__ == "__main__":
    main()
