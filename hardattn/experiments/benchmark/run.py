"""`hardattn benchmark`: what hard attention gains on one's own images, in a stated time.

Fit, designs of several widths, a judge of these designs, a frontier of networks and a report. Each stage has
a share of the time: trainings are given it, the others are given as many iterations as were timed to fit in.
Whatever is done is not done again when the same command is given once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boed.approximations import Approximations
from boed.benchmark.budget import LEARNING, Budget, kept_budget
from boed.combination import Combination
from boed.comparison.compare import Comparison
from boed.comparison.settings import JudgeSettings
from boed.comparison.stores import compare_stores
from boed.fitting.fit import fit
from boed.search.designer import Designer
from boed.settings import FittedSettings
from boed.stored_designs import store_designs
from data.dataset import SPLITS, DataSet
from data.device import choose_device
from data.errors import DataError, NoImagesError, SettingsError
from data.geometry import Geometry
from hardattn.experiments.choices import BENCHMARK_MINUTES
from hardattn.experiments.frontier.drawing import draw
from hardattn.experiments.frontier.grid import Member, read_grid
from hardattn.experiments.frontier.result import PICTURE, Frontier
from hardattn.experiments.frontier.sweep import frontier
from hardattn.report.contents import collect
from hardattn.report.page import write_page
from supervision.choices import SEQUENCES

FIT, JUDGE, NETWORKS = 0.3, 0.15, 0.45  # of the time; designs, evaluation and report have the rest
SIDES = (1, 2, 4)  # times the side of a glimpse
GLIMPSES, IMAGES = 4, 400
FEWEST = 4  # images of a split, as a judge has to part them
SOURCES = {"design": SEQUENCES, "fixed-order": f"{SEQUENCES}-fixed-order"}
MOST_ITERATIONS = 4000
JUDGES = 3.2  # what the trainings of two judges, one for each half of the images, cost in those of q
REPORT = "report.html"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark found.

    Attributes:
        comparison: of the designs and one fixed order, by a judge that had no part in making either.
        frontier: of hard attention and networks on the whole image.
        report: the page.
    """

    comparison: Comparison
    frontier: Frontier
    report: Path

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "comparison": self.comparison.to_json(),
            "frontier": self.frontier.to_json(),
            "report": str(self.report),
        }


def benchmark(
    dataset: DataSet,
    run: Path,
    *,
    minutes: float = BENCHMARK_MINUTES,
    grid: Sequence[Member] | None = None,
    seed: int = 0,
    device: str = "auto",
    command: Sequence[str] | None = None,
    say: Say = print,
) -> Benchmark:
    """Everything from the fit to the report, into `run`.

    Args:
        dataset: that was opened by `data.registry.load`, so that it can be opened again.
        run: the folder of everything.
        minutes: of wall clock, about: evaluation is not counted exactly.
        grid: networks; default those of `hardattn/experiments/frontier/grids/folder.toml`.
        seed: of everything that is drawn.
        command: words of the command line that asks for it, kept for the report.
        say: is told what begins.

    Raises:
        SettingsError: no time, or images smaller than a glimpse.
        CheckpointError: another time was asked for in `run` before.
    """
    if not minutes > 0:
        raise SettingsError(f"expected minutes above 0, found {minutes:g}; give it some")
    _require_enough(dataset)
    dataset = copy(dataset)  # which shares its images
    dataset.geometry, dataset.glimpses = wide(dataset.geometry), GLIMPSES
    say("fit: posterior, completions, where to look")
    budget, learned = fitted(dataset, run, 60 * minutes * FIT, seed, device)
    say("designs, and one fixed order for all images")
    paths = [run / f"{name}.h5" for name in SOURCES.values()]
    for path, source in zip(paths, SOURCES, strict=True):
        store_designs(path, Designer(learned), dataset, images=IMAGES, source=source)
    say("judges, which had no part in making them")
    comparison = judged(paths, budget, seed, device, say)
    members = list(grid or read_grid("folder"))
    options: dict[str, Any] = {"minutes": minutes * NETWORKS, "seed": seed, "device": device}
    found = frontier(dataset, members, run, **options, command=command, say=say)
    draw(found, run / "frontier" / PICTURE)
    say("report")
    folders = [run / "frontier" / f"{member.folder}-{seed}" for member in members]
    page = write_page(run / REPORT, collect(folders, device=device), " ".join(command or ()))
    return Benchmark(comparison, found, page)


def _require_enough(dataset: DataSet) -> None:
    """Raises DataError where the splits are too small for a judge, or to learn anything."""
    short = [name for name in SPLITS if _count(dataset, name) < FEWEST]
    if short:
        raise DataError(
            f"expected at least {FEWEST} images in each of {', '.join(SPLITS)}, found fewer in "
            f"{', '.join(short)}: a tenth of the photographs in train/ is the design split, a tenth valid, "
            f"those in val/ are the test split; add photographs, {10 * FEWEST} at least in train/"
        )


def _count(dataset: DataSet, split: str) -> int:
    try:
        return len(dataset[split])
    except NoImagesError:
        return 0


def wide(geometry: Geometry) -> Geometry:
    """The same with squares of several sides, as far as the image has room for them.

    >>> wide(Geometry(64, 64, 3, glimpse_size=16, per_axis=7)).sides
    (16, 32, 64)
    >>> wide(Geometry(40, 40, 1, glimpse_size=16, per_axis=7)).sides
    (16, 32)
    """
    geometry.grid()  # refuses images smaller than a glimpse
    sides = [factor * geometry.glimpse_size for factor in SIDES]
    return replace(geometry, sides=tuple(side for side in sides if side <= min(geometry.image_size)))


def fitted(
    dataset: DataSet, run: Path, seconds: float, seed: int, device: str
) -> tuple[Budget, Approximations]:
    """The approximations of the task, of as many iterations as fit into the time."""
    folder = run / "approximations"
    settings = FittedSettings(
        glimpses=dataset.glimpses,
        iterations=MOST_ITERATIONS,
        seed=seed,
        dataset=dataset.name,
        target=dataset.target,
    )
    budget = kept_budget(dataset, folder, [Combination()], settings, seconds)
    learned = fit(
        dataset,
        folder,
        device=device,
        geometry=dataset.geometry,
        glimpses=dataset.glimpses,
        iterations=budget.iterations,
        trial_images=budget.trial_images,
        seed=seed,
    )
    return budget, learned


def judged(paths: Sequence[Path], budget: Budget, seed: int, device: str, say: Say) -> Comparison:
    """The designs beside the fixed order, by judges of as many iterations as their share of the time has."""
    iterations = budget.iterations * JUDGE / (LEARNING * FIT * JUDGES)
    settings = JudgeSettings(iterations=max(1, int(iterations)), seed=seed)
    [comparison] = compare_stores(paths, settings, device=choose_device(device), say=say)
    return comparison
