"""Names of tables, each made by a function from a file of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.results.tables.case_study import case_study
from benchmarks.results.tables.convergence import convergence, errors, search
from benchmarks.results.tables.demo import demo
from benchmarks.results.tables.frontier import frontier
from benchmarks.results.tables.judging import judging_table
from benchmarks.results.tables.large import bills, costs, files
from benchmarks.results.tables.recurrent_glimpsenet import recurrent_glimpsenet
from benchmarks.results.tables.stopping import stopping
from benchmarks.results.tables.train_speed import train_speed

FRONTIERS = ("male-short", "clutter-short", "clutter", "faces", "scenes")
JUDGED = ("finite", "translated-mnist", "cluttered-mnist", "celebahq", "scenes", "flowers", "birds")
TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "recurrent-glimpsenet": recurrent_glimpsenet,
    "case-study": case_study,
    "convergence": convergence,
    "convergence: errors": errors,
    "demo": demo,
    **{
        f"frontier-{name}": frontier for name in ("male-short", "clutter-short", "clutter", "faces", "scenes")
    },
    **{f"judging-{name}": judging_table for name in JUDGED},
    "large: costs": costs,
    "large: bills": bills,
    "large: files": files,
    "reinforce-search": search,
    "stopping": stopping,
    "train-speed": train_speed,
}
"""Name in a page -> what makes it; where one experiment has several tables, "EXPERIMENT: TABLE"."""
