"""`hardattn reproduce NAME`: a published table, row by row, within a budget of minutes.

The settings of a table are a readable file, `tables/NAME.toml` in this folder: the task, and for every row a
method or a baseline, its recipe and its share of the time. Model choice is by validation: of every row the
weights with the best validation NLL, or accuracy where its recipe says so, and of the rows that learn where
to look the one with the best accuracy. What is designed is designed once for all rows of the same glimpses,
however many they take.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from data.coverage import CoverageRow
from data.dataset import DataSet
from data.errors import SettingsError
from data.files import write_rows
from data.geometry import Geometry, affine_crops
from data.logs import read_log
from data.registry import load
from data.runs import default_run
from hardattn.baselines.training import train_baseline
from hardattn.evaluation import known_or_evaluated
from hardattn.experiments.choices import MINUTES, SEEDS
from hardattn.experiments.reproduce.known import best_known
from hardattn.experiments.reproduce.outcome import Published, Reproduction
from hardattn.experiments.reproduce.row import Row
from hardattn.experiments.reproduce.settings import (
    LOADED_WITH,
    Training,
    chosen,
    read_table,
    require_minutes,
    trainings,
)
from hardattn.experiments.row_sequences import approximations_in, designed, made_in, parts
from hardattn.experiments.sequence_kinds import PARTS, RECORDED, is_designed
from hardattn.experiments.workers import spread
from hardattn.loading import settings_of
from hardattn.recording import record
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.convergence import kept_line
from hardattn.training.run_folder import require_seed
from hardattn.training.settings import read_run
from hardattn.warm_start import features_in
from supervision.store import SequenceStore

OWN_DESIGNS = {"images": "images", "how": "fit"}  # argument of `designed` -> what a row says
FIT = "fit"  # of a row's `features`: what the fit of its designs has learned
CURVE = ("iteration", "seconds", "nll", "accuracy")
Say = Callable[[str], None]


def reproduce(
    name: str,
    data_root: Path | None,
    folder: Path,
    *,
    minutes: float | None = None,
    seed: int = 0,
    seeds: int | None = None,
    device: str = "auto",
    only: str = "",
    attributes: Collection[str] = (),
    dataset: str | None = None,
    designs: Path | None = None,
    command: Sequence[str] | None = None,
    workers: int = 1,
    say: Say = print,
) -> Reproduction:
    """Trains and evaluates every row of a table into `folder`; what is done is not done again.

    Args:
        name: see `hardattn.experiments.reproduce.settings.table_names`.
        data_root: of the table's data set.
        minutes: of training, for all rows together, of which each has its share; default the table's, or 60.
        seed: the first one.
        seeds: how many; default the table's, or `SEEDS`.
        only: the row of this name, or else all whose name contains it; others keep their share of the time.
        attributes: of a table that has several, only these; the others keep their share as well.
        dataset: another one than the table's, of which it says which rows it has.
        designs: folder of run folders of `boed fit`, named as in runs/; default those in `folder`.
        command: words of the command line that asks for it, kept with the runs for reports.
        workers: processes that train at a time, each a network.
        say: is told what begins; of several workers what is done.

    Raises:
        SettingsError: an unknown table, no time, no seed, no such row, or no workers.
        CheckpointError: a row was trained in `folder` for another time, or with other settings.
    """
    table = read_table(name, dataset)
    minutes = float(table.get("minutes", MINUTES)) if minutes is None else minutes
    seeds = int(table.get("seeds", SEEDS)) if seeds is None else seeds
    require_seed(seed)
    if not minutes > 0 or seeds < 1:
        raise SettingsError(f"expected minutes above 0 and at least 1 seed, found {minutes} and {seeds}")
    every = trainings(table, minutes=minutes, seed=seed, seeds=seeds)
    wanted, outcomes = chosen(every, only, attributes), list[Row]()
    work = Work(every, data_root, folder, device, designs, command)
    if workers != 1:
        _train_beside(work, wanted, workers, say)
    for training in wanted:
        say(f"{training.run_name}: {training.minutes:.1f} minutes")
        outcomes.append(work.row(training))
    whole, reference = table.get("published_error_percent"), table.get("reference", "")
    published = [Published(**figure) for figure in table.get("published", [])]
    return Reproduction(name, outcomes, whole, minutes, reference, published)


def _train_beside(work: Work, wanted: Sequence[Training], workers: int, say: Say) -> None:
    """Trains and evaluates what is wanted, several at a time: what others need first, and its sequences."""
    for training in wanted:
        require_minutes(work.folder / training.run_name, training.minutes)
    for level in work.levels(wanted):
        for training in level:
            if "sequences" in training.row:
                work.sequences(training)
        for number, _ in spread(work.trained, level, workers):
            say(f"{level[number].run_name}: {level[number].minutes:.1f} minutes, done")
    for _ in spread(work.row, wanted, workers):
        pass


@dataclass(frozen=True)
class Work:
    """What the trainings of a table share.

    Attributes:
        every: all of them, whichever are asked for.
        data_root: of their data sets.
        folder: for everything that is made.
        device: to train and evaluate on.
        designs, command: see `reproduce`.
    """

    every: list[Training]
    data_root: Path | None
    folder: Path
    device: str
    designs: Path | None
    command: Sequence[str] | None

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs, which opens data sets itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_datasets"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def row(self, training: Training) -> Row:
        """The figures of a training, which is done here if it was not; its test images are looked at once."""
        run = self.trained(training)
        log = list(read_log(run / checkpoint.LOG))
        write_rows(self.folder / f"curve-{run.name}.csv", log, CURVE)
        unseen = self._unseen_error(training, run)
        dataset = self._dataset(training.row)  # a run may be older than the table's test images
        seen = known_or_evaluated(run, dataset=dataset, device=self.device, trajectories=1)
        recipe = settings_of(read_run(run), run).recipe
        best = kept_line(log, recipe.select)
        images, best_elsewhere = len(dataset["train"]), best_known(training.row)
        return Row(
            method=training.name,
            task=training.task,
            error_percent=_error_percent(seen),
            published_error_percent=training.published("error_percent"),
            published_iterations=training.published("iterations"),
            published_epoch=training.published("epoch"),
            unseen_error_percent=unseen,
            validation_percent=100 * (1 - best["accuracy"]),
            seconds=log[-1]["seconds"],
            iterations=log[-1]["iteration"],
            best_iteration=best["iteration"],
            best_epoch=best["iteration"] * recipe.batch_size / images,
            iterations_to_convergence=seen["iterations_to_convergence"],
            seconds_to_convergence=seen["seconds_to_convergence"],
            made_in=made_in(self._store_path(training)),
            seed=training.seed,
            mflops=_mflops(seen),
            parameters=seen["parameters"],
            way=training.way,
            given=training.given,
            chooses=training.chooses,
            run=str(run),
            published_on=training.row.get("published_on", ""),
            best_known_percent=best_elsewhere.error_percent,
            best_known=best_elsewhere.name,
            told=training.told,
            coverage=[CoverageRow(**line) for line in seen.get("coverage", [])],
        )

    def trained(self, training: Training) -> Path:
        """The run folder of a training, trained."""
        run, row, dataset = self.folder / training.run_name, training.row, self._dataset(training.row)
        require_minutes(run, training.minutes)
        options: dict[str, Any] = {"budget": Budget(minutes=training.minutes), "seed": training.seed}
        options |= {"device": self.device}
        options |= {"command": self.command, **training.recipe}
        if "baseline" in row:
            return train_baseline(dataset, run, row["baseline"], **options)
        if "sequences" in row:
            options["store"] = self.sequences(training)
        if "features" in row:
            options["features"] = features_in(self._learned(training))
        if training.crops:
            options["magnification"] = row.get("magnification")
        else:
            options["geometry"] = self._geometry(training)
        return train(dataset, run, method=row["method"], glimpses=row["glimpses"], **options)

    def sequences(self, training: Training) -> SequenceStore:
        """What a training imitates; what another one looked at is recorded from it, trained first."""
        path, kind = self._store_path(training), training.row["sequences"]
        if kind == RECORDED:
            return record(self.trained(self._reinforced(training)), out=path, device=self.device)
        dataset, geometry = self._dataset(training.row), self._geometry(training)
        opened = self._opened(training.row)
        if kind.startswith(PARTS):
            return parts(path, kind, dataset, geometry, training.row["glimpses"], opened)
        run, longest = self._fit_of(training), self._longest(training)
        own = {name: training.row[key] for name, key in OWN_DESIGNS.items() if key in training.row}
        return designed(path, kind, run, geometry, longest, opened, self.device, **own)

    def levels(self, wanted: Sequence[Training]) -> list[list[Training]]:
        """These trainings and those that they need, each behind what it needs."""
        depths: dict[str, tuple[int, Training]] = {}

        def depth(training: Training) -> int:
            behind = 1 + max((depth(one) for one in self._needs(training)), default=-1)
            depths[training.run_name] = (behind, training)
            return behind

        deepest = max((depth(training) for training in wanted), default=-1)
        return [[one for at, one in depths.values() if at == level] for level in range(deepest + 1)]

    def _needs(self, training: Training) -> list[Training]:
        """What has to be trained before it."""
        row = training.row
        needed = [self._reinforced(training)] if row.get("sequences") == RECORDED else []
        return needed + ([self._named(row["features"], training)] if row.get("features", FIT) != FIT else [])

    def _fit_of(self, training: Training) -> Path:
        """Run folder of the fit of its designs: among those that are there, unless it has one of its own."""
        if self.designs and "fit" not in training.row:
            return self.designs / default_run(self._dataset(training.row)).name
        return self.folder / f"design{training.sensor_tag}"

    def _learned(self, training: Training) -> Path:
        """Folder of what its encoder begins with: the fit of its designs, or another row."""
        if training.row["features"] == FIT:
            return approximations_in(self._fit_of(training), training.row.get("fit", {}))
        return self.trained(self._named(training.row["features"], training))

    def _longest(self, training: Training) -> int:
        """The most glimpses of any row that looks alike and imitates designs: fewer are their beginning."""
        alike = [one for one in self.every if one.sensor_tag == training.sensor_tag]
        return max(one.row["glimpses"] for one in alike if is_designed(one.row.get("sequences", "")))

    def _store_path(self, training: Training) -> Path:
        kind = training.row.get("sequences", "")
        tag = training.sensor_tag if is_designed(kind) else training.tag
        seed = f"-{training.seed}" if kind == RECORDED else ""
        return self.folder / f"sequences-{kind}{tag}{seed}.h5"

    def _reinforced(self, training: Training) -> Training:
        """That of REINFORCE alone for the same task and seed."""
        for one in self.every:
            if (one.row.get("method"), one.task, one.seed) == ("ram", training.task, training.seed):
                return one
        raise SettingsError(
            f"expected a row of the method ram for {training.task} beside {training.name!r}, which imitates "
            "what was recorded from it, found none; add one to the table"
        )

    def _named(self, name: str, training: Training) -> Training:
        """That of the row of this name for the same attribute and seed."""
        wanted = (name, training.row.get("attribute"), training.seed)
        for one in self.every:
            if (one.name, one.row.get("attribute"), one.seed) == wanted:
                return one
        raise SettingsError(
            f"expected a row {name!r} beside {training.name!r}, which begins with its encoder, found none; "
            "add one to the table"
        )

    def _unseen_error(self, training: Training, run: Path) -> float | None:
        """Error in % of test images of a kind that no image of the training has, where the table has some."""
        if "unseen" not in training.row:
            return None
        dataset = self._dataset({**training.row, **training.row["unseen"]})
        options: dict[str, Any] = {"dataset": dataset, "device": self.device, "trajectories": 1}
        return _error_percent(known_or_evaluated(run, self.data_root, **options))

    def _geometry(self, training: Training) -> Geometry:
        images, row = self._dataset(training.row).geometry, training.row
        if "magnification" in row:
            size = affine_crops(images, row["magnification"]).glimpse_size
            images = replace(images, glimpse_size=size, first_glance=True)
        return replace(images, **training.sensor)

    def _opened(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What `data.registry.load` is called with."""
        opened = {"name": row["dataset"], **{key: row[key] for key in LOADED_WITH if key in row}}
        return opened | {"data_root": self.data_root and str(self.data_root.resolve())}

    def _dataset(self, row: Mapping[str, Any]) -> DataSet:
        """Opened once for all rows of the task."""
        opened = self._opened(row)
        key = repr(opened)
        if key not in self._datasets:
            self._datasets[key] = load(**opened)
        return self._datasets[key]

    @cached_property
    def _datasets(self) -> dict[str, DataSet]:
        return {}


def _error_percent(seen: Mapping[str, Any]) -> float:
    return 100 * (1 - list(seen["accuracy_at"].values())[-1])


def _mflops(seen: Mapping[str, Any]) -> float:
    """Of all glimpses of an image, after which the class is said once; of a baseline, at its last exit."""
    fixed = [point for point in seen["curve"] if point["rule"] == "fixed"]
    spent: float = max(fixed, key=lambda point: point["threshold"])["mflops"]
    return spent
