"""The accuracy-compute curve as a table and as a picture: what is in them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from hardattn.stopping.curve_files import draw_curve, write_csv
from hardattn.stopping.rules import Point

POINTS = [
    Point("gain", 0.5, 1.5, 3.0, 0.5, 0.75, stopped_at=[3, 1, 0], intervals={"accuracy": (0.25, 0.625)}),
    Point("gain", 0.1, 2.5, 1.0, 0.25, 1.5, stopped_at=[0, 2, 2], intervals={"accuracy": (0.125, 0.5)}),
    Point("exit", 2.0, 2.0, 2.0, 1.0, 0.0, stopped_at=[0, 4, 0], intervals={"accuracy": (1.0, 1.0)}),
]


def test_a_row_has_the_figures_of_a_point_with_intervals_and_counts_in_columns(tmp_path: Path) -> None:
    write_csv(POINTS, tmp_path / "curve.csv")
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rule"] for row in rows] == ["gain", "gain", "exit"]
    assert [float(row["threshold"]) for row in rows] == [0.5, 0.1, 2.0]
    assert [(float(row["accuracy_low"]), float(row["accuracy_high"])) for row in rows] == [
        (0.25, 0.625), (0.125, 0.5), (1.0, 1.0),
    ]  # fmt: skip
    counts = [[int(row[f"stopped_at_{t}"]) for t in (1, 2, 3)] for row in rows]
    assert counts == [[3, 1, 0], [0, 2, 2], [0, 4, 0]]
    assert not {"stopped_at", "intervals"} & set(rows[0])


def test_a_line_for_each_rule_from_cheap_to_dear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[Figure]()
    save = Figure.savefig

    def kept(figure: Figure, *arguments: object, **options: object) -> None:
        drawn.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    draw_curve(POINTS, "digits label", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    [axes] = drawn[0].axes
    lines = {str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in axes.get_lines()}
    assert lines == {
        "until the predicted gain is small": [[1.0, 25.0], [3.0, 50.0]],
        "at one exit": [[2.0, 100.0]],
    }
    assert axes.get_title() == "digits label" and axes.get_xlabel() == "MFLOPs per image"
