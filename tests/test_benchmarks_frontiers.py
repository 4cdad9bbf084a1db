"""Frontiers of several tasks, averaged."""

import json
from pathlib import Path

import pytest
from cli_tiny import assert_refused
from click.testing import CliRunner

from benchmarks.frontiers import averaged, main
from data.files import write_json
from hardattn.experiments.frontier.pareto import FrontierPoint
from hardattn.experiments.frontier.sweep import Frontier


def point(family: str, mflops: float, accuracy: float) -> FrontierPoint:
    ends = (accuracy - 0.02, accuracy + 0.02)
    return FrontierPoint(
        family, family, "fixed", 1.0, mflops, 512.0, mflops, accuracy, accuracy, *ends, 0.3, 60.0, "run"
    )


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two tasks; hard attention is ahead on the mean, though not in the second."""
    accuracies = {"Male": (0.95, 0.85), "Smiling": (0.8, 0.84)}
    for task, (own, rival) in accuracies.items():
        points = [point("attention", 0.09, own), point("cnn", 0.09, rival)]
        found = Frontier("celebahq", task, 224 * 224, 60.0, 0, points)
        write_json(tmp_path / f"{task}.json", found.to_json())
    return [str(tmp_path / f"{task}.json") for task in accuracies]


def test_the_mean_over_tasks_and_whether_hard_attention_is_ahead(files: list[str]) -> None:
    found = json.loads(CliRunner().invoke(main, [*files, "--json"]).stdout)
    assert found["tasks"] == ["celebahq Male", "celebahq Smiling"]
    assert found["accuracy"]["attention"][:2] == [None, pytest.approx(0.875)]
    assert found["behind"] == [] and found["pixel_share"] == pytest.approx(512 / 224**2)
    alone = json.loads(CliRunner().invoke(main, [files[1], "--json"]).stdout)
    assert alone["behind"] == [0.1, 0.2, 0.4, 0.8, 1.5, 3.0]
    people = CliRunner().invoke(main, files).stdout
    assert "celebahq Smiling" in people and "behind no rival" in people


def test_a_budget_that_one_task_has_no_point_for_has_no_mean() -> None:
    assert averaged([{"cnn": [0.5, 1.0]}, {"cnn": [None, 0.5]}]) == {"cnn": [None, 0.75]}


@pytest.mark.parametrize(
    ("text", "words"),
    [("{}", "'dataset'"), ('{"points": 3}', "'dataset'"), ("nothing", "found damage (Expecting value")],
)
def test_other_files_are_refused_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    result = CliRunner().invoke(main, [str(tmp_path / "other.json")])
    assert_refused(result, f"in {tmp_path / 'other.json'}", words, "hardattn frontier")
