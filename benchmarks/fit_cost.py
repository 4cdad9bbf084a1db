"""What `boed fit` costs, and designs with what it fitted: digits, one attribute of faces, all forty together.

Everything is fitted anew with the default settings, in a temporary folder, and timed with the table that ends
a fit. Starting Python and decoding photographs is not in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

import boed.cli.fit
from benchmarks.cost_report import DESIGN, FIT, ONCE, Timed
from boed.approximations import Approximations
from boed.fitting.fit import fit
from boed.fitting.joint_fit import fit_jointly
from boed.search.designer import Designer, design_sequences
from data import load
from data.celebahq import DEFAULT_ATTRIBUTE, EVERY
from data.dataset import DataSet
from data.device import at_device
from data.errors import SettingsError
from data.sample import sample_rows
from data.stages import Profile, profiled

SIDES = (16, 32, 64, 112, 224)
DESIGN_GOAL = 0.03  # CPU seconds an image
T = TypeVar("T")
OPENED = ("train", "valid", "design")  # splits


@dataclass(frozen=True)
class Case:
    """A fit whose cost has a goal.

    Attributes:
        dataset: name.
        goal: CPU seconds.
        attributes: "one" or all of them, "" of a data set that has none.
        sides: that the design chooses among; () for one width.
    """

    dataset: str
    goal: float
    attributes: str = ""
    sides: tuple[int, ...] = ()

    def open(self, data_root: Path | None, attribute: str) -> DataSet:
        """Its data; of faces one attribute, or all with this one among them.

        Raises:
            GlimpseError: no such data, or not one attribute.
        """
        if not self.attributes:
            return load(self.dataset)
        together = self.attributes == EVERY
        dataset = load(self.dataset, data_root, attribute=EVERY if together else attribute)
        if together != bool(dataset.attributes) or (together and attribute not in dataset.attributes):
            raise SettingsError(f"expected one attribute of faces, found {attribute!r}; change --attribute")
        return dataset


CASES = {
    "digits": Case("digits", 60),
    "attribute": Case("celebahq", 150, "one"),
    "attribute-widths": Case("celebahq", 150, "one", SIDES),
    "all-widths": Case("celebahq", 900, EVERY, SIDES),
}


def open_cases(
    names: Sequence[str], data_root: Path | None, attribute: str = DEFAULT_ATTRIBUTE
) -> dict[str, DataSet]:
    """The data of the cases of these names: what is missing is said before the first long fit.

    Raises:
        GlimpseError: no such data, or not one attribute.
    """
    return {name: CASES[name].open(data_root, attribute) for name in names}


def time_case(
    name: str, dataset: DataSet, attribute: str, images: int, device: torch.device
) -> Iterator[Timed]:
    """A fit, its bank embedded, and designs of an image: with all weight on own maps, and as they are fitted.

    Args:
        name: of the case.
        dataset: from `open_cases`.
        attribute: whose designs are timed where several are fitted.
        images: that are designed, at most.
        device: where it computes.
    """
    for split in OPENED:
        dataset[split]  # photographs are decoded
    with TemporaryDirectory() as kept:
        fits, row = timed(lambda: _fitted(CASES[name], dataset, Path(kept), device))
    yield replace(row, name=name, work=FIT, goal=CASES[name].goal)
    chosen = attribute if dataset.attributes else dataset.target
    task = dataset.only(chosen) if dataset.attributes else dataset
    for row in time_use(fits[chosen], task, images, device):
        yield replace(row, name=name)


def _fitted(case: Case, dataset: DataSet, folder: Path, device: torch.device) -> dict[str, Approximations]:
    """What `boed fit` does, by target."""
    geometry = replace(dataset.geometry, sides=case.sides)
    if dataset.attributes:
        fits = fit_jointly(dataset, folder, lambda one: folder / one, device=device, geometry=geometry)
    else:
        fits = {dataset.target: fit(dataset, folder, device=device, geometry=geometry)}
    boed.cli.fit.truth_of(list(fits.values()), dataset)
    return fits


def time_use(learned: Approximations, dataset: DataSet, images: int, device: torch.device) -> Iterator[Timed]:
    """What is done with a fit: the bank embedded, and designs.

    Maps that images share are made within the designs, so that the more images the less each costs.
    """
    learned.forget()
    yield replace(timed(learned.embedded)[1], work=ONCE)
    split = at_device(dataset["design"], device)
    rows = sample_rows(len(split), min(images, len(split))).to(split.ids.device)
    ways = {
        f"{DESIGN}, own maps": ((1.0,) * learned.glimpses, ()),
        DESIGN: (learned.weights, learned.calibrations),
    }
    for work, (weights, read) in ways.items():
        search = partial(design_sequences, Designer(learned), split, rows, len(weights))
        design = partial(search, weights, read, seed=0)
        yield replace(timed(design)[1], work=work, goal=DESIGN_GOAL).each(len(rows))


def timed(work: Callable[[], T]) -> tuple[T, Timed]:
    """What a piece of work gives, and its CPU seconds by stage."""
    clock, start = Profile(time.process_time), time.perf_counter()
    with profiled(clock):
        found = work()
    return found, Timed("", "", clock.total(), time.perf_counter() - start, None, clock.shares())
