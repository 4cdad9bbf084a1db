"""Bars until near the best accuracy are read off the log."""

from typing import Any

import numpy as np
import pytest
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from data.errors import CheckpointError
from hardattn.report.near_best import COLOURS, NAMES, Bar, bars_of, draw_near_best
from hardattn.training.convergence import near_best_accuracy


def log_of(*accuracies: float) -> list[dict[str, Any]]:
    return [{"iteration": 100 * n, "seconds": 2.0 * n, "accuracy": a} for n, a in enumerate(accuracies)]


@pytest.mark.parametrize(
    ("accuracies", "iteration"),
    [((0.1, 0.5, 0.6), 200), ((0.1, 0.59, 0.6), 100), ((0.1, 0.589, 0.6, 0.3), 200), ((0.6, 0.1), 0)],
)
def test_it_is_the_first_check_within_a_point_of_the_runs_own_best(
    accuracies: tuple[float, ...], iteration: int
) -> None:
    assert near_best_accuracy(log_of(*accuracies)) == (iteration, iteration / 50, max(accuracies))


def test_an_empty_log_is_refused() -> None:
    with pytest.raises(CheckpointError, match="expected a log"):
        near_best_accuracy([])


def task() -> dict[str, Any]:
    def run(label: str, supervised: int, sensor: Any, *accuracies: float) -> dict[str, Any]:
        log = log_of(*accuracies)
        return {"label": label, "supervised_images": supervised, "sensor": sensor, "log": log}

    runs = [run("ram-0", 0, {}, 0.1, 0.2, 0.5), run("ps-nogs-0", 600, {}, 0.1, 0.6, 0.805)]
    return {"name": "digits", "runs": [*runs, run("cnn-0", 0, None, 0.9, 0.9)]}


def test_every_network_that_takes_glimpses_has_a_bar() -> None:
    expected = [Bar("ram-0", False, 200, 4.0, 0.5, 200), Bar("ps-nogs-0", True, 200, 4.0, 0.805, 100)]
    assert bars_of(task()) == expected


def test_bars_are_as_long_as_it_took_and_coloured_by_supervision() -> None:
    figure = Figure(layout="constrained")
    draw_near_best(figure, bars_of(task()), "digits")
    [axes] = figure.axes
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    drawn = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in bars}
    assert drawn == {0: 200, 1: 200}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ram-0", "ps-nogs-0"]
    groups = [group for group in axes.containers if isinstance(group, BarContainer)]
    names = {group.get_label(): group.patches[0].get_width() for group in groups}
    assert names == {NAMES[True]: 200, NAMES[False]: 200} and len(set(COLOURS.values())) == 2
    assert " 200 (4 s); best 80.5 %; mark at 100" in [text.get_text() for text in axes.texts]
    [marks] = axes.lines
    assert np.array_equal(np.asarray(marks.get_xdata()), [200, 100])
    assert marks.get_label() == "near 50.0 %, the lowest best"
    assert "within 1 point of the run's best validation accuracy" in axes.get_xlabel()
