"""Names of tables, each made by a function from a file of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.results.tables.case_study import case_study
from benchmarks.results.tables.demo import demo
from benchmarks.results.tables.large import bills, costs, files
from benchmarks.results.tables.recurrent_glimpsenet import recurrent_glimpsenet
from benchmarks.results.tables.train_speed import train_speed

TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "recurrent-glimpsenet": recurrent_glimpsenet,
    "case-study": case_study,
    "demo": demo,
    "large: costs": costs,
    "large: bills": bills,
    "large: files": files,
    "train-speed": train_speed,
}
"""Name in a page -> what makes it; where one experiment has several tables, "EXPERIMENT: TABLE"."""
