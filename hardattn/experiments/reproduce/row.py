"""One training of a published table, as it came out."""

from __future__ import annotations

from dataclasses import dataclass, field

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
        published_on: the data set that its error is of, where that is another one; else "".
        unseen_error_percent: of test images of a kind that it was never trained on, where the table has any.
        validation_percent: error of the validation images, which chooses.
        seconds, iterations: of training.
        iterations_to_convergence, seconds_to_convergence: see `hardattn.training.convergence.convergence`.
        made_in: seconds in which the sequences that it imitates were designed, once for all seeds.
        coverage: how much of their objects the glimpses hold, where boxes are known.
        mflops: of one image, the class said once, after the last glimpse; a multiply-add is 2.
        chooses: whether it learns where to look; random places and baselines do not.
        run: its folder.
    """

    method: str
    task: str
    error_percent: float
    published_error_percent: float | None
    published_iterations: float | None
    unseen_error_percent: float | None
    validation_percent: float
    seconds: float
    iterations: int
    iterations_to_convergence: int
    seconds_to_convergence: float
    made_in: float
    seed: int
    mflops: float
    parameters: int
    chooses: bool
    run: str
    published_on: str = ""
    coverage: list[CoverageRow] = field(default_factory=list)
