"""Tables of the speed of training and inference, times that of the public loop in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.results.tables.parts import source, table


def train_speed(found: Mapping[str, Any]) -> str:
    """Times the loop, the middle of all rounds: plain, compiled, the products alone; and what was asked."""
    tasks = found["tasks"]
    head = ["times as fast as the loop", *(f"{side} pixels" for side in tasks)]
    names = list(dict.fromkeys(name for task in tasks.values() for name in task["works"]))
    lines = [[name, *(_cell(task["works"].get(name)) for task in tasks.values())] for name in names]
    return f"{table(head, [line for line in lines if any(line[1:])])}\n\n{source(found['about'])}"


def _cell(about: Mapping[str, Any] | None) -> str:
    """The middle, least and most of the rounds, and the goal."""
    if about is None or "times_the_loop" not in about:
        return ""
    times = about["times_the_loop"]
    asked = "" if about.get("asked") is None else f"; asked {about['asked']:g}"
    return f"{times['middle']:.2f} ({times['least']:.2f} to {times['most']:.2f}{asked})"
