"""One seed of a task: two fits, the sequences of every source, what comes true of the designs, and one judge.

What is done is kept in a folder, and not done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.judging.plan import DESIGN, SOURCES, Arm, Task
from boed.approximations import Approximations
from boed.calibration import measure_calibration
from boed.combination import CHOICES, Combination
from boed.comparison.compare import Source, judged
from boed.comparison.settings import JudgeSettings
from boed.comparison.stores import geometry_of
from boed.fitting.fit import fit
from boed.search.designer import Designer
from boed.stored_designs import store_designs
from data.dataset import DataSet
from data.files import write_json
from data.tensors import load_tensors, save_tensors
from supervision.published import import_published
from supervision.store import SequenceStore

PUBLISHED = "published"
COMMAND = "python -m benchmarks.judging"


@dataclass(frozen=True)
class SeedFigures:
    """Of S sources on N images after each of T glimpses.

    Attributes:
        names: (S,) of the sources.
        ids: (N,) of the images.
        originals: (N,) of which original each is a version.
        values: "accuracy" and "nll" of each image, (S, N, T).
        truth: name of a design -> lists (T,) of what it predicts of the chosen places, what is realised
            there, and its weights of own maps.
        seconds: (S,) that it took, with the fit and a share of the judge.
    """

    seed: int
    names: tuple[str, ...]
    ids: Tensor
    originals: Tensor
    values: Mapping[str, Tensor]
    truth: Mapping[str, Mapping[str, list[float]]]
    seconds: tuple[float, ...]


def figures_of_seed(
    task: Task, dataset: DataSet, folder: Path, seed: int, archive: Path | None = None
) -> SeedFigures:
    """Fits, designs and judges into `folder`, or takes up what is there.

    Args:
        dataset: of the task, of one target.
        archive: of published sequences for it.

    Raises:
        GlimpseError: the folder holds something of other settings, or the archive is of other images.
    """
    stores, truth = dict[str, SequenceStore](), dict[str, dict[str, list[float]]]()
    for arm_name, arm in task.arms.items():
        here = folder / arm_name.replace(" ", "-")
        with timed(here, "fit"):
            fitted = fitted_in(here, arm, dataset, task.glimpses, seed)
        designer = Designer(fitted)
        for source in SOURCES[arm_name]:
            with timed(here, source):
                path = here / f"{source}.h5"
                stores[name_of(source, arm_name)] = store_designs(
                    path, designer, dataset, glimpses=task.glimpses, images=task.images, source=source
                )
        with timed(here, "truth"):
            truth[name_of(DESIGN, arm_name)] = truth_in(here, fitted, dataset, task.images)
    if archive is not None:
        path = folder / f"{PUBLISHED}.h5"
        stores[PUBLISHED] = import_published(
            archive, path, attribute=dataset.target, dataset=dataset, origin=dataset.origin
        )
    settings = JudgeSettings(**task.judge, seed=seed)
    with timed(folder, "judge"):
        ids, originals, values = judged_in(folder, dataset, stores, settings)
    return SeedFigures(seed, tuple(stores), ids, originals, values, truth, seconds_of(folder, task, stores))


def name_of(source: str, arm: str) -> str:
    """Of a source in a table.

    >>> name_of("fixed-order", "one width"), name_of("design", "widths")
    ('fixed order, one width', 'design, widths')
    """
    return f"{source.replace('-order', ' order')}, {arm}"


def fitted_in(folder: Path, arm: Arm, dataset: DataSet, glimpses: int, seed: int) -> Approximations:
    """The fit of an arm."""
    parts = {name: value for name, value in arm.fit.items() if name in CHOICES}
    chosen = {name: value for name, value in arm.fit.items() if name not in CHOICES}
    return fit(
        dataset,
        folder / "approximations",
        device="cpu",
        geometry=replace(dataset.geometry, **arm.sensor),
        combination=Combination.of(**parts),
        glimpses=glimpses,
        seed=seed,
        **chosen,
    )


def truth_in(folder: Path, fitted: Approximations, dataset: DataSet, images: int) -> dict[str, list[float]]:
    """What designs of judged images predict and what comes true by q, see `boed.calibration`."""
    path = folder / "truth.json"
    if not path.exists():
        rows = measure_calibration(fitted, dataset["design"], images=images)
        lists = {name: [getattr(row, name) for row in rows] for name in ("predicted", "realised")}
        write_json(path, lists | {"weights": list(fitted.weights)})
    found: dict[str, list[float]] = json.loads(path.read_text())
    return found


def judged_in(
    folder: Path, dataset: DataSet, stores: Mapping[str, SequenceStore], settings: JudgeSettings
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Ids and originals (N,) of the judged images, and accuracy and NLL of each (S, N, T)."""
    path, sources = folder / "judged.safetensors", [source_of(name, its) for name, its in stores.items()]
    about = {"settings": asdict(settings), "sources": {name: its.settings for name, its in stores.items()}}
    wanted = json.loads(json.dumps(about))
    if not path.exists() or load_tensors(path, COMMAND)[1] != wanted:
        found = judged(dataset, geometry_of(list(stores.values())), sources, settings)
        kept = {"ids": found.ids, "originals": found.originals, **found.values}
        save_tensors(path, {name: value.contiguous() for name, value in kept.items()}, wanted)
    tensors, _ = load_tensors(path, COMMAND)
    return tensors["ids"], tensors["originals"], {name: tensors[name] for name in ("accuracy", "nll")}


def source_of(name: str, store: SequenceStore) -> Source:
    """What a judge needs of a store, all of whose sequences are there."""
    kind = str(store.settings.get("design", {}).get("source"))
    return Source(name, kind, store.ids, store.load(torch.arange(len(store.ids))).locations)


@contextmanager
def timed(folder: Path, name: str) -> Iterator[None]:
    """Adds the seconds that are spent within to those in the folder, also of what is interrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    path, start = folder / "seconds.json", time.monotonic()
    try:
        yield
    finally:
        known = json.loads(path.read_text()) if path.exists() else {}
        write_json(path, known | {name: known.get(name, 0.0) + time.monotonic() - start})


def seconds_of(folder: Path, task: Task, stores: Mapping[str, SequenceStore]) -> tuple[float, ...]:
    """Of each source: its sequences, of a design the fit, of all of them as much of the judge."""
    spent = {PUBLISHED: 0.0}
    for arm in task.arms:
        own = json.loads((folder / arm.replace(" ", "-") / "seconds.json").read_text())
        for source in SOURCES[arm]:
            learned = own["fit"] + own["truth"] if source == DESIGN else 0.0
            spent[name_of(source, arm)] = own[source] + learned
    judge = json.loads((folder / "seconds.json").read_text())["judge"] / len(stores)
    return tuple(spent[name] + judge for name in stores)
