"""The level of what a design predicts, set right on images that no part has learned from.

q is calibrated and its maps are read on the bank, whose images are a sample of the training split. Images of
other splits may be harder or easier, and places that were sought on the bank are a little better there than
elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.estimators.bank import Bank
from boed.estimators.calibration import Levels, falling
from boed.search.designer import Designer
from boed.search.prediction import Step, steps_of

FEWEST = 30  # images, below which a standard error is no guide


def set_levels(learned: Approximations, unseen: Bank, split: str) -> None:
    """Raises or lowers the EPE of each step by what it is off on unseen images; the choice of places stays.

    Fewer images than `FEWEST` leave everything as it is.

    Args:
        learned: approximations, all of them; calibrations are replaced, and levels noted.
        unseen: labelled images of another split than q and the bank are of, at all places.
        split: its fingerprint.
    """
    learned.levels = Levels()
    if len(unseen) < FEWEST:
        return
    steps = steps_without_levels(learned, unseen, learned.settings.seed)
    shifts, before = shrunk_shifts([_off(step) for step in steps]), learned.calibrations
    reads = [read._replace(offset=read.offset + by) for read, by in zip(before, shifts, strict=True)]
    means = [float(step.at_chosen(step.predicted).mean()) for step in steps]
    learned.calibrations = tuple(falling(reads, [mean + by for mean, by in zip(means, shifts, strict=True)]))
    moved = [new.offset - old.offset for new, old in zip(learned.calibrations, before, strict=True)]
    learned.levels = Levels(tuple(moved), split)


def steps_without_levels(learned: Approximations, unseen: Bank, seed: int) -> list[Step]:
    """The steps of designs for unseen images, as they are read before levels are set.

    They are kept, for the table that ends a fit asks for them again; those of many attributes are not.
    """
    images = (tuple(unseen.split.ids.tolist()), tuple(unseen.labels.tolist()))
    key = (seed, learned.combination, learned.weights, images)
    if key in learned.kept:
        return list(learned.kept[key])
    designer = Designer(learned)
    shifts = learned.levels.shifts or (0.0,) * learned.glimpses
    pairs = zip(learned.calibrations, shifts, strict=True)
    designer.calibrations = tuple(read._replace(offset=read.offset - by) for read, by in pairs)
    steps = list(steps_of(designer, unseen, seed))
    if not learned.settings.together:
        learned.kept[key] = steps
    return steps


def crossed(steps: Sequence[Step]) -> list[Step]:
    """What would be predicted of images by which levels were set, had each half set those of the other.

    Args:
        steps: all T, of such images, as they are read without levels.
    """
    off = [_off(step) for step in steps]
    even, odd = (shrunk_shifts([values[start::2] for values in off]) for start in (1, 0))
    by = torch.tensor([even, odd], dtype=torch.float64).T  # (T, 2)
    return [_moved(step, its) for step, its in zip(steps, by, strict=True)]


def _off(step: Step) -> Tensor:
    """(B,) what is realised at the chosen place, less what is predicted."""
    return step.at_chosen(step.realised) - step.at_chosen(step.predicted)


def _moved(step: Step, by: Tensor) -> Step:
    """A step whose even and odd images are predicted more by two numbers (2,)."""
    images = torch.arange(len(step.chosen)) % 2
    return step._replace(predicted=(step.predicted + by.to(step.predicted)[images, None]).clamp(min=0))


def shrunk_shifts(values: Sequence[Tensor]) -> list[float]:
    r"""T means of values (B,), shrunk towards 0 by what of them is noise, as all of them together tell.

    $\hat\mu_t = \bar v_t \, \tau^2 / (\tau^2 + \sigma_t^2), \quad
    \tau^2 = \max(0, \overline{\bar v_t^2 - \sigma_t^2})$

    with the standard errors $\sigma_t$ of the means: empirical Bayes, with one variance of all true shifts
    (Morris 1983). They are 0 where images are too few to tell.

    >>> [round(shift, 2) for shift in shrunk_shifts([torch.tensor([0.0, 2.0] * 50)] * 3)]
    [0.99, 0.99, 0.99]
    >>> shrunk_shifts([torch.tensor([-1.0, 1.0] * 50)])
    [0.0]
    """
    if len(values[0]) < FEWEST:
        return [0.0] * len(values)
    means = [float(each.mean()) for each in values]
    noise = [standard_error(each) ** 2 for each in values]
    spread = max(0.0, sum(mean**2 - its for mean, its in zip(means, noise, strict=True)) / len(means))
    return [mean * spread / (spread + its) if spread else 0.0 for mean, its in zip(means, noise, strict=True)]


def standard_error(values: Tensor) -> float:
    """Of the mean of values (B,); 0 of a single one.

    >>> standard_error(torch.tensor([0.0, 2.0]))
    1.0
    """
    return float(values.std(correction=0)) / max(1, len(values) - 1) ** 0.5
