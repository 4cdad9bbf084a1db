"""What `benchmarks.convergence` makes of its trainings: intervals of errors, and how much sooner which is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.convergence.runs import Work, as_good
from benchmarks.intervals import drawn_seeds, over_seeds
from data.measures import RESAMPLES, Measure, mean_measure, resampling
from hardattn.training.budget import CHECK_EVERY

REFERENCE = "PS-NOGS"  # the row that the others are compared with
MEAN = "mean"  # in the place of an attribute
RATIOS = ("sooner", "sooner_as_good", "sooner_images", "sooner_as_good_images")
Row = dict[str, Any]
Right = Mapping[tuple[str, str, int], np.ndarray]
"""(method, attribute, seed) -> (N,) bool of the test images."""


def figures(work: Work, trainings: Sequence[tuple[Mapping[str, Any], str, int]]) -> list[Row]:
    """A flat row for each training, and one for the mean over the attributes of each method.

    Errors have 95 % intervals `low` to `high` over images and seeds, the same in all seeds of a method and an
    attribute. `as_good_at` is the first check whose validation NLL is within .01 nats of the best of the
    reference of the same attribute and seed, null where there is none. `sooner` is how many times the
    iterations of the reference a training took to converge, each by its own best, as published;
    `sooner_as_good` how many times those it took to the reference's quality, and where it never got there at
    least. `.._images` are the same in images, iterations times the batch, which is not the same for all.
    No ratio is of less than the iterations between two checks.
    """
    rows = [work.row(*training) for training in trainings]
    right = {_key(*training): work.right(*training) for training in trainings}
    originals = work.dataset["test"].originals
    references = {(r["attribute"], r["seed"]): r for r in rows if r["method"] == REFERENCE}
    for row, training in zip(rows, trainings, strict=True):
        reference = references.get((row["attribute"], row["seed"]))
        row |= _compared(row, work.log(*training), reference)
        own = [found for key, found in right.items() if key[:2] == (row["method"], row["attribute"])]
        row |= _interval([[one] for one in own], originals)
    return rows + _means(rows, right, originals)


def _key(row: Mapping[str, Any], attribute: str, seed: int) -> tuple[str, str, int]:
    return row["name"], attribute, seed


def _compared(row: Row, log: Sequence[Mapping[str, Any]], reference: Row | None) -> Row:
    """When a training was as good as the reference, and how many times what it needed that took."""
    if reference is None:
        return dict.fromkeys(("as_good_at", "as_good_seconds", *RATIOS))
    line, took = as_good(log, reference["best_nll"]), _known(reference["converged_at"])
    there, batch = log[-1] if line is None else line, row["batch_size"] / reference["batch_size"]
    ratios = [_known(row["converged_at"]) / took, _known(there["iteration"]) / took]
    found = {"as_good_at": line and line["iteration"], "as_good_seconds": line and line["seconds"]}
    return found | dict(zip(RATIOS, [*ratios, *(batch * ratio for ratio in ratios)], strict=True))


def _known(iteration: int) -> int:
    """When something came true, as far as checks tell: one that learns nothing does so at the very first.

    >>> _known(0), _known(300)
    (100, 300)
    """
    return max(iteration, CHECK_EVERY)


def _interval(right: Sequence[Sequence[np.ndarray]], originals: Tensor) -> Row:
    """Both ends of the interval of an error in %, see `_measure`."""
    low, high = _measure(right, originals).interval()
    return {"low": 100 * (1 - float(high)), "high": 100 * (1 - float(low))}


def _measure(right: Sequence[Sequence[np.ndarray]], originals: Tensor) -> Measure:
    """Accuracy, mean over S seeds and A attributes, of images (N,) that are right for each of them."""
    values = torch.from_numpy(np.array(right)).permute(0, 2, 1)  # (S, N, A)
    each = mean_measure(values, resampling(originals, seed=0, resamples=RESAMPLES))
    seeds = over_seeds(each, drawn_seeds(len(right), seed=0, resamples=RESAMPLES))
    return Measure(seeds.value.mean(), seeds.samples.mean(1))


def _means(rows: Sequence[Row], right: Right, originals: Tensor) -> list[Row]:
    """A row for each method: over all attributes and the seeds that all of them have."""
    attributes, means = list(dict.fromkeys(row["attribute"] for row in rows)), list[Row]()
    for method in dict.fromkeys(row["method"] for row in rows):
        each = [{s for m, a, s in right if (m, a) == (method, name)} for name in attributes]
        seeds = sorted(set.intersection(*each))
        if not seeds or len(attributes) < 2:
            continue
        found = [[right[method, name, seed] for name in attributes] for seed in seeds]
        own = [row for row in rows if row["method"] == method and row["seed"] in seeds]
        mean: Row = {"method": method, "attribute": MEAN, "attributes": len(attributes)}
        mean |= {"seed": seeds[0], "seeds": len(seeds), "seconds": 0.0}
        mean |= {"error_percent": 100 * (1 - float(np.mean(found))), **_interval(found, originals)}
        mean["least_as_good"] = any(row["as_good_at"] is None for row in own)
        means.append(mean | {name: _geometric(own, name) for name in RATIOS})
    return means


def _geometric(rows: Sequence[Row], name: str) -> float | None:
    """The geometric mean of ratios; None where one is not known."""
    values = [row[name] for row in rows]
    return None if None in values else float(np.exp(np.mean(np.log(values))))
