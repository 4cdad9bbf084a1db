"""What `benchmarks.scaling` measures: fit, design, training and prediction of a made-up task of any size."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor

import hardattn
from boed.approximations import Approximations
from boed.estimators.choices import MEMORY_GB
from boed.fitting.fit import fit
from boed.generation import BLOCK
from boed.posteriors.registry import POSTERIORS
from boed.search.designer import Designer, design_sequences
from boed.settings import FittedSettings
from data.dataset import DataSet, Split
from data.geometry import Geometry
from hardattn.training.budget import Budget

VALID, TRIALS, GLIMPSE = 40, 40, 8
LEAST = 0.3  # CPU seconds that are timed; what is shorter is done several times
KILOBYTES = 2**20 if sys.platform == "darwin" else 2**10  # that the system counts memory in, of a megabyte


@dataclass(frozen=True)
class Sizes:
    """How large a task is; a work has no use for some of it.

    Attributes:
        images: for training, to design for, or to predict.
        places: candidates, about: the grid is square.
        completions: of an image at each step.
        bank: labelled images that complete.
        glimpses: T.
        side: of the images, in pixels.
        classes: K.
        memory_gb: budget of a design, for what is kept of the bank.
    """

    images: int = 400
    places: int = 36
    completions: int = 64
    bank: int = 400
    glimpses: int = 3
    side: int = 32
    classes: int = 4
    memory_gb: float = MEMORY_GB

    def geometry(self) -> Geometry:
        """Of the sensor; the grid has the nearest square number of places."""
        return Geometry(self.side, self.side, 1, glimpse_size=GLIMPSE, per_axis=round(self.places**0.5))

    def actual(self, factor: str) -> int:
        """One of the sizes as it is.

        >>> Sizes(places=72).actual("places"), Sizes().actual("bank")
        (64, 400)
        """
        wanted: int = getattr(self, factor)
        return round(wanted**0.5) ** 2 if factor == "places" else wanted


TINY = Sizes(images=40, places=16, completions=4, bank=40, glimpses=2, side=16, classes=2)


@dataclass(frozen=True)
class Point:
    """What a work of one size took.

    Attributes:
        seconds: of CPU, a call.
        megabytes: that the process had at most, less what it had before its task was made.
    """

    seconds: float
    megabytes: float


def pictures(sizes: Sizes, count: int) -> Tensor:
    """(count, H, W, 1) noise, always the same."""
    size = (count, sizes.side, sizes.side, 1)
    return torch.randint(256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def split_of(sizes: Sizes, count: int, name: str) -> Split:
    """Noise images, whose classes are as frequent as each other."""
    numbers = torch.arange(count)
    return Split(pictures(sizes, count), numbers % sizes.classes, numbers, name)


def dataset_of(sizes: Sizes) -> DataSet:
    """A task with so many training images; all splits are opened."""
    count = sizes.images + 3 * VALID
    images, labels = pictures(sizes, count).numpy(), (torch.arange(count) % sizes.classes).numpy()
    dataset = DataSet.from_arrays(
        images, labels, valid=VALID, test=VALID, design=VALID, glimpse_size=GLIMPSE, glimpses=sizes.glimpses
    )
    for split in dataset:
        dataset[split]
    return dataset


def fitting(sizes: Sizes) -> Callable[[], object]:
    """A fit, with a fifth of the images as iterations, as by default from 20,000 images on."""
    dataset, iterations = dataset_of(sizes), max(5, sizes.images // 5)
    chosen: dict[str, Any] = {
        "iterations": iterations,
        "places": sizes.actual("places"),
        "trial_images": TRIALS,
        "glimpses": sizes.glimpses,
    }
    return lambda: fit(dataset, device="cpu", geometry=sizes.geometry(), **chosen)


def untrained(geometry: Geometry, bank: Split, *, glimpses: int, classes: int) -> Approximations:
    """Approximations with all places of the grid, whose q knows nothing: designs cost what they always do."""
    settings, places = FittedSettings(glimpses=glimpses), geometry.grid().locations
    kind = POSTERIORS.require(settings.posterior)
    q = kind.new(geometry, settings, places, classes=classes, attributes=1)
    return Approximations(q.eval(), bank, places, geometry, settings)


def designing(sizes: Sizes) -> Callable[[], object]:
    """Designs with all weight on an image's own map, and the bank embedded before."""
    bank, split = split_of(sizes, sizes.bank, "bank"), split_of(sizes, sizes.images, "images")
    learned = untrained(sizes.geometry(), bank, glimpses=sizes.glimpses, classes=sizes.classes)

    def work() -> None:
        designer = Designer(learned, completions=sizes.completions, memory_gb=sizes.memory_gb)
        weights = (1.0,) * sizes.glimpses
        for rows in torch.split(torch.arange(sizes.images), BLOCK):  # as `boed generate` has them
            design_sequences(designer, split, rows, sizes.glimpses, weights, seed=0)

    return work


def training(sizes: Sizes) -> Callable[[], object]:
    """An epoch by REINFORCE, and the validation at its end."""
    dataset = dataset_of(sizes)
    return lambda: hardattn.train(dataset, geometry=sizes.geometry(), budget=Budget(epochs=1), device="cpu")


def predicting(sizes: Sizes) -> Callable[[], object]:
    """Answers for images, all glimpses of each."""
    dataset = dataset_of(replace(sizes, images=TINY.images))
    model = hardattn.train(dataset, geometry=sizes.geometry(), budget=Budget(epochs=0.01), device="cpu")
    images = pictures(sizes, sizes.images)
    return lambda: model.predict(images)


WORKS: dict[str, Callable[[Sizes], Callable[[], object]]] = {
    "fit": fitting,
    "design": designing,
    "training": training,
    "prediction": predicting,
}
"""Name -> sizes -> what is to be timed."""


def measure(name: str, sizes: Sizes) -> Point:
    """What a work takes, in this process; it is done in a tiny size first, so that all is imported."""
    torch.set_num_threads(1)
    WORKS[name](TINY)()
    before, work = peak_megabytes(), WORKS[name](sizes)
    calls, start, spent = 0, time.process_time(), 0.0
    while not calls or spent < LEAST:
        work()
        calls, spent = calls + 1, time.process_time() - start
    return Point(spent / calls, peak_megabytes() - before)


def measure_apart(name: str, sizes: Sizes) -> Point:
    """The same in a process of its own, forked from this one, which has imported everything."""
    with get_context("fork").Pool(1) as pool:
        return pool.apply(measure, (name, sizes))


def peak_megabytes() -> float:
    """The most memory that this process has had, resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KILOBYTES
