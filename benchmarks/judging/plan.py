"""What `benchmarks.judging` judges: data sets, the fits of their designs, and judges, in sizes of minutes.

Images on canvases are judged at placements that no choice has met (`canvas_seed`). Sizes were chosen such
that one seed of one task takes five to eight minutes of a core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.sources import ATTRIBUTES

ONE, WIDTHS = "one width", "widths"
SOURCES = {
    ONE: ("random", "centre", "linear", "saliency-5", "saliency-50", "fixed-order", "design"),
    WIDTHS: ("random", "fixed-order", "design"),
}
"""Of designs with squares of one side, and of several: those without a map do not get better by widths."""
REFERENCE, DESIGN = "fixed-order", "design"


@dataclass(frozen=True)
class Arm:
    """A sensor, and the fit of its designs.

    Attributes:
        sensor: fields of the geometry.
        fit: fields of `boed.settings.FitSettings`, and of a combination, that are not as usual.
    """

    sensor: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What is judged.

    Attributes:
        dataset: its name.
        opened: options of `data.registry.load`.
        glimpses: T.
        arms: by name, `ONE` and `WIDTHS`.
        judge: fields of `boed.comparison.settings.JudgeSettings`.
        attributes: targets, of a data set that has several.
        images: of the design split, at most.
    """

    dataset: str
    glimpses: int
    arms: Mapping[str, Arm]
    opened: Mapping[str, Any] = field(default_factory=dict)
    judge: Mapping[str, Any] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    images: int = 600


def arms(sides: tuple[int, ...], fit: Mapping[str, Any]) -> dict[str, Arm]:
    """The same fit with the data set's own glimpse, and with squares of these sides."""
    return {ONE: Arm(fit=fit), WIDTHS: Arm({"sides": sides}, fit)}


def digits(dataset: str) -> Task:
    """Digits anywhere on a canvas of 60 pixels."""
    fit = {"iterations": 2000, "trial_images": 100}
    opened = {"canvas": 60, "canvas_seed": 1}
    judge = {"iterations": 1500, "alike": 8}
    return Task(dataset, 6, arms((12, 24, 48, 60), fit), opened, judge)


PHOTOGRAPHS = {"iterations": 2000, "trial_images": 200}
TASKS = {
    "translated-mnist": digits("translated-mnist"),
    "cluttered-mnist": digits("cluttered-mnist"),
    "celebahq": Task(
        "celebahq",
        5,
        arms((16, 32, 64, 112, 224), PHOTOGRAPHS),
        judge={"iterations": 2000},
        attributes=ATTRIBUTES,
    ),
    "scenes": Task("folder", 5, arms((16, 32, 64, 128), PHOTOGRAPHS), judge={"iterations": 2000}),
    "flowers": Task("folder", 5, arms((16, 32, 64, 128), PHOTOGRAPHS), judge={"iterations": 2000}),
    "birds": Task("cub", 5, arms((32, 64, 128), PHOTOGRAPHS), judge={"iterations": 2000}),
}
