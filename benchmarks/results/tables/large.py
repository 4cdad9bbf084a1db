"""Tables of what millions of designs cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.large.command import TASKS, Bill, Cost, bills_table, costs_table
from benchmarks.large.files import files_table
from benchmarks.results.tables.parts import source


def costs(found: Mapping[str, Any]) -> str:
    """CPU seconds of each estimator."""
    return f"{costs_table([Cost(**cost) for cost in found['costs']])}\n\n{source(found['about'])}"


def bills(found: Mapping[str, Any]) -> str:
    """Core hours, bytes and money."""
    return bills_table([Bill(**bill) for bill in found["bills"]], found["assumed"]["cores"])


def files(_: Mapping[str, Any]) -> str:
    """What grows with the number of images."""
    return files_table(TASKS)
