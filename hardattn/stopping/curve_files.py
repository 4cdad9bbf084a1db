"""The accuracy-compute curve of an evaluation as a picture and as a table of comma-separated values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from data.drawing import figure_of
from data.files import write_atomically, write_rows
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Point

OTHER = {"exit": "at one exit"}


def draw_curve(points: Sequence[Point], title: str, path: Path) -> None:
    """Accuracy against MFLOPs per image, one line per stopping rule."""
    figure = figure_of(6, 4)
    axes = figure.add_subplot()
    labels = OTHER | {name: rule.label for name, rule in RULES.items()}
    for rule in dict.fromkeys(point.rule for point in points):
        line = sorted((p.mflops, 100 * p.accuracy) for p in points if p.rule == rule)
        axes.plot(*zip(*line, strict=True), marker="o", markersize=3, label=labels.get(rule, rule))
    axes.set(xlabel="MFLOPs per image", ylabel="accuracy, %")
    axes.set_title(title, fontsize=10, parse_math=False)
    axes.legend(frameon=False, fontsize=8)
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=150, format="png"))


def write_csv(points: Sequence[Point], path: Path) -> None:
    """One row per point; the ends of intervals, and images by glimpses taken, have columns of their own."""
    write_rows(path, [dict(_columns(point)) for point in points])


def _columns(point: Point) -> Iterator[tuple[str, Any]]:
    for field in fields(point):
        value = getattr(point, field.name)
        if isinstance(value, Mapping):
            for name, (low, high) in value.items():
                yield from ((f"{name}_low", low), (f"{name}_high", high))
        elif field.name == "stopped_at":
            yield from ((f"stopped_at_{t}", count) for t, count in enumerate(value or (), start=1))
        else:
            yield field.name, value
