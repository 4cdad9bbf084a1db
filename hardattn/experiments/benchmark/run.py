"""`hardattn benchmark`: what hard attention gains on one's own images, in a stated time.

Fit, designs of several widths, a judge of these designs, a frontier of networks and a report. Each stage has
a share of the time that is left when it begins, see `schedule`: networks are given it, fit and judges as many
iterations as were timed to fit in.
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
from data.errors import DataError, NoImagesError
from data.geometry import Geometry
from hardattn.experiments.benchmark.copies import copies_in_test, warning
from hardattn.experiments.benchmark.networks import affordable, epochs_of, within
from hardattn.experiments.benchmark.schedule import Schedule
from hardattn.experiments.choices import BENCHMARK_MINUTES
from hardattn.experiments.frontier.drawing import draw
from hardattn.experiments.frontier.grid import Member, read_grid
from hardattn.experiments.frontier.result import PICTURE, Frontier
from hardattn.experiments.frontier.sweep import frontier
from hardattn.report.contents import collect
from hardattn.report.page import write_page
from supervision.choices import SEQUENCES

SIDES = (1, 2, 4)  # times the side of a glimpse
GLIMPSES, IMAGES = 4, 400
FEWEST, ENOUGH = 4, 100  # images of a split, as a judge has to part them; and of all
SOURCES = {"design": SEQUENCES, "fixed-order": f"{SEQUENCES}-fixed-order"}
MOST_ITERATIONS = 4000
JUDGES = 3.2  # what the trainings of two judges, one for each half of the images, cost in those of q
REPORT = "report.html"
TINY = 1e-9  # seconds
Say = Callable[[str], None]


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark found.

    Attributes:
        name: of the folder of photographs.
        images: how many there are in the test split.
        classes: names of the K classes.
        most_frequent: the class of which the test split has the most images, and its share of them.
        comparison: of the designs and one fixed order, by a judge that had no part in making either.
        frontier: of hard attention and networks on the whole image.
        epochs: how often each network "with" attention, and "without", has seen each training image.
        report: the page.
        copies: how many test images are also learned from, see `hardattn.experiments.benchmark.copies`.
    """

    name: str
    images: int
    classes: tuple[str, ...]
    most_frequent: tuple[str, float]
    comparison: Comparison
    frontier: Frontier
    epochs: dict[str, list[float]]
    report: Path
    copies: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "photographs": {
                "name": self.name,
                "test": self.images,
                "classes": list(self.classes),
                "most_frequent": list(self.most_frequent),
                "copies": self.copies,
            },
            "comparison": self.comparison.to_json(),
            "frontier": self.frontier.to_json(),
            "epochs": self.epochs,
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
    began: float | None = None,
    say: Say = print,
) -> Benchmark:
    """Everything from the fit to the report, into `run`.

    Args:
        dataset: that was opened by `data.registry.load`, so that it can be opened again.
        run: the folder of everything.
        minutes: of wall clock, about: evaluation and report are not timed before.
        grid: networks; default those of `hardattn/experiments/frontier/grids/folder.toml` that there is time
            for.
        seed: of everything that is drawn.
        command: words of the command line that asks for it, kept for the report.
        began: when the time began, by `time.monotonic`; None: now.
        say: is told what there is, and what begins.

    Raises:
        SettingsError: no time, or images smaller than a glimpse.
        CheckpointError: another time was asked for in `run` before.
    """
    schedule = Schedule(run, minutes, began=began)
    _require_enough(dataset)
    dataset = copy(dataset)  # which shares its images
    dataset.geometry, dataset.glimpses = wide(dataset.geometry), GLIMPSES
    most = most_frequent(dataset)
    say(_counted(dataset, most))
    if copies := copies_in_test(dataset):
        say(warning(copies, len(dataset["test"])))
    say(f"{schedule.now()}: fit: posterior, completions, where to look")
    before = schedule.clock()
    budget, learned = fitted(dataset, run, schedule.seconds("fit"), seed, device)
    took = schedule.clock() - before
    say(f"{schedule.now()}: designs, and one fixed order for all images")
    paths = [run / f"{name}.h5" for name in SOURCES.values()]
    for path, source in zip(paths, SOURCES, strict=True):
        store_designs(path, Designer(learned), dataset, images=IMAGES, source=source)
    say(f"{schedule.now()}: judges, which had no part in making them")
    iterations = schedule.kept(
        "judge_iterations", lambda: judge_iterations(budget, schedule.seconds("judges"), took)
    )
    comparison = judged(paths, int(iterations), seed, device, say)
    networks = schedule.kept("networks", lambda: schedule.seconds("networks"))
    known = within(read_grid("folder"), min(dataset.geometry.image_size))
    members = list(grid or affordable(known, networks))
    say(f"{schedule.now()}: {len(members)} networks")
    options: dict[str, Any] = {"minutes": networks / 60, "seed": seed, "device": device}
    found = frontier(dataset, members, run, **options, command=command, say=say)
    draw(found, run / "frontier" / PICTURE)
    say(f"{schedule.now()}: report")
    folders = [run / "frontier" / f"{member.folder}-{seed}" for member in members]
    page = write_page(run / REPORT, collect(folders, device=device), " ".join(command or ()))
    say(f"{schedule.now()}: done")
    facts = (_name(dataset), len(dataset["test"]), dataset.classes, most)
    epochs: dict[str, list[float]] = {"with": [], "without": []}
    for member, folder in zip(members, folders, strict=True):
        epochs["with" if member.method else "without"].append(epochs_of(folder, len(dataset["train"])))
    return Benchmark(*facts, comparison, found, epochs, page, copies)


def _require_enough(dataset: DataSet) -> None:
    """Raises DataError where the splits are too small for a judge, or to learn anything."""
    counts = {name: _count(dataset, name) for name in SPLITS}
    if min(counts.values()) < FEWEST:
        found = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise DataError(
            f"expected at least {FEWEST} images in each of {', '.join(SPLITS)}, found {found}; add "
            f"photographs: the smallest of these is a tenth of them, or of those in train/ where there is "
            f"one, beside val/ with at least {FEWEST} for the test; {ENOUGH} will do"
        )
    seen = set(dataset["train"].labels.tolist())
    unseen = [name for label, name in enumerate(dataset.classes) if label not in seen]
    if unseen:
        raise DataError(
            f"expected images of each class in the train split, found none of {len(unseen)} classes "
            f"({', '.join(unseen[:FEWEST])}); add photographs of them, or leave them out by --classes"
        )


def _count(dataset: DataSet, split: str) -> int:
    try:
        return len(dataset[split])
    except NoImagesError:
        return 0


def most_frequent(dataset: DataSet) -> tuple[str, float]:
    """The class of which the test split has the most images, and its share: what a guess may reach."""
    counts = dataset["test"].labels.bincount(minlength=len(dataset.classes))
    return dataset.classes[int(counts.argmax())], float(counts.max() / counts.sum())


def _counted(dataset: DataSet, most: tuple[str, float]) -> str:
    """What there is, in a line."""
    counts = {name: len(dataset[name]) for name in SPLITS}
    parts = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return (
        f"{sum(counts.values()):,} photographs of {len(dataset.classes)} classes ({parts}); always to say "
        f"{most[0]} is right at {100 * most[1]:.1f} % of the test images"
    )


def _name(dataset: DataSet) -> str:
    """Of the folder of the photographs."""
    root = (dataset.origin or {}).get("data_root")
    return Path(root).name if root else dataset.name


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


def judge_iterations(budget: Budget, seconds: float, took: float) -> int:
    """How many a judge has in so many seconds, of a fit with this budget that took so many, all in all.

    At most as many as q had: a fit that was found done took none.

    >>> judge_iterations(Budget(1000, 10), 64.0, 100.0), judge_iterations(Budget(1000, 10), 64.0, 0.0)
    (500, 1000)
    """
    fitting = budget.iterations * seconds / max(LEARNING * took * JUDGES, TINY)
    return max(1, int(min(fitting, budget.iterations)))


def judged(paths: Sequence[Path], iterations: int, seed: int, device: str, say: Say) -> Comparison:
    """The designs beside the fixed order, by judges of so many iterations."""
    settings = JudgeSettings(iterations=iterations, seed=seed)
    [comparison] = compare_stores(paths, settings, device=choose_device(device), say=say)
    return comparison
