"""One training of a published table, as it came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data.coverage import CoverageRow


@dataclass(frozen=True)
class Row:
    """One training of a table, as it came out.

    Attributes:
        method: what it is, in words.
        task: what it was trained for, in words.
        error_percent: of the test images, after the last glimpse.
        published_error_percent: of the row that it stands beside, None without one.
        published_iterations: to convergence, of that row.
        published_epoch: after which its weights were best, by validation accuracy.
        published_on: the data set that its error is of, where that is another one; else "".
        best_known_percent: the least published error on these images, of whatever network; None: not known.
        best_known: whose that is.
        told: what it knew of training images beside their labels, as "boxes" of the objects; "" for nothing.
        unseen_error_percent: of test images of a kind that it was never trained on, where the table has any.
        validation_percent: error of the validation images, which chooses.
        seconds, iterations: of training.
        best_iteration, best_epoch: after which its own weights were kept; an epoch is as many images as the
            training split has.
        iterations_to_convergence, seconds_to_convergence: see `hardattn.training.convergence.convergence`.
        made_in: seconds in which the sequences that it imitates were designed, once for all seeds.
        coverage: how much of their objects the glimpses hold, where boxes are known.
        mflops: of one image, the class said once, after the last glimpse; a multiply-add is 2.
        way: which of the table's ways it was trained in, "" without them.
        given: what the table says of its task, such as "dataset", "glimpses", "glimpse_size" and "scales".
        chooses: whether it learns where to look; random places and baselines do not.
        run: its folder.
    """

    method: str
    task: str
    error_percent: float
    published_error_percent: float | None
    published_iterations: float | None
    published_epoch: float | None
    unseen_error_percent: float | None
    validation_percent: float
    seconds: float
    iterations: int
    best_iteration: int
    best_epoch: float
    iterations_to_convergence: int
    seconds_to_convergence: float
    made_in: float
    seed: int
    mflops: float
    parameters: int
    way: str
    given: Mapping[str, Any]
    chooses: bool
    run: str
    published_on: str = ""
    best_known_percent: float | None = None
    best_known: str = ""
    told: str = ""
    coverage: list[CoverageRow] = field(default_factory=list)
