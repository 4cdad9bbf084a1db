"""Frontiers of several tasks: means, intervals over images and seeds, and who is ahead where."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tiny import assert_refused
from click.testing import CliRunner

from benchmarks.frontiers.command import apart, main
from benchmarks.frontiers.picture import draw
from benchmarks.results.command import seeds_behind
from benchmarks.results.tables.frontier import frontier as markdown
from data.files import write_json
from hardattn.experiments.frontier.measuring import ORIGINALS, RIGHT
from hardattn.experiments.frontier.pareto import FrontierPoint
from hardattn.experiments.frontier.result import Frontier

IMAGES = 40


def point(folder: Path, family: str, seed: int, right: int) -> FrontierPoint:
    """A network that is right about the first images, so many of `IMAGES`."""
    run = f"{family}-{seed}".replace(" ", "-")
    (folder / run).mkdir(parents=True)
    np.save(folder / run / RIGHT, np.packbits(np.arange(IMAGES) < right)[None])
    share, about = right / IMAGES, {"software_mflops": 0.3, "valid_software_mflops": 0.3}
    return FrontierPoint(
        *(family, family, "fixed", 1.0, 0.09, 512.0, 0.09, share, share, share, share, 0.3, 60.0, run),
        **about, seed=seed, row=0, capped=seed == 0,
    )  # fmt: skip


def write_frontier(folder: Path, target: str, own: tuple[int, ...], rival: tuple[int, ...]) -> str:
    folder.mkdir()
    points = [
        point(folder, family, seed, right)
        for family, numbers in (("attention", own), ("cnn", rival))
        for seed, right in enumerate(numbers)
    ]
    found = Frontier("celebahq", target, 224 * 224, list(range(len(own))), points)
    np.save(folder / ORIGINALS, np.arange(IMAGES))
    write_json(folder / "frontier.json", found.to_json())
    return str(folder / "frontier.json")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two tasks; hard attention is ahead on the mean, though not in the second."""
    return [
        write_frontier(tmp_path / "a", "Male", (40, 40), (20, 20)),
        write_frontier(tmp_path / "b", "Smiling", (30, 30), (32, 32)),
    ]


def printed(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_mean_over_tasks_and_whether_hard_attention_is_ahead(files: list[str]) -> None:
    found = printed(*files)
    assert found["tasks"] == ["celebahq Male", "celebahq Smiling"]
    assert found["behind"] == {"binning": [], "software": []}
    assert found["pixel_share"] == pytest.approx(512 / 224**2)
    assert "behind no rival" in found["verdict"] and "at 6 of 6 by binning" in found["verdict"]
    rows = [row for row in found["rows"] if row["count"] == "binning" and row["family"] == "attention"]
    assert [row["budget"] for row in rows] == [0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 10.0]
    assert rows[0]["accuracy"] == pytest.approx((40 + 30) / 2 / IMAGES)
    assert rows[0]["rival"] == "cnn" and rows[0]["difference"] == pytest.approx((20 - 2) / 2 / IMAGES)
    assert rows[0]["low"] < rows[0]["accuracy"] < rows[0]["high"]
    assert rows[0]["seconds"] == 4 * 60 and rows[0]["capped"] == 0.5 and rows[1]["seconds"] == 0
    alone = printed(files[1])
    assert alone["behind"] == {"binning": [0.1, 0.2, 0.4, 0.8, 1.5, 3.0], "software": [0.4, 0.8, 1.5, 3.0]}
    assert alone["crossings"] == {"binning": [[0.09, "cnn"]], "software": [[0.3, "cnn"]]}
    assert "celebahq Smiling" in CliRunner().invoke(main, files).stdout


def test_a_budget_that_only_rivals_meet_counts_as_one_where_attention_is_not_ahead() -> None:
    own = {"family": "attention", "count": "binning", "difference_low": 0.1}
    rows = [
        {**own, "budget": 0.1},
        *({"family": "cnn", "count": "binning", "budget": b} for b in (0.05, 0.1)),
    ]
    assert "at 1 of 2 by binning, 0 of 0 by software" in apart(rows, 3.0)


def test_intervals_cover_seeds_as_well_as_images(tmp_path: Path) -> None:
    """Of the same mean, seeds that differ have a wider interval."""
    alike = printed(write_frontier(tmp_path / "alike", "Male", (30, 30, 30), (9, 9, 9)))
    differ = printed(write_frontier(tmp_path / "apart", "Male", (20, 30, 40), (9, 9, 9)))
    (first, *_), (second, *_) = alike["rows"], differ["rows"]
    assert first["accuracy"] == pytest.approx(second["accuracy"])
    assert second["high"] - second["low"] > 1.3 * (first["high"] - first["low"])


def test_tables_and_picture_are_made_from_the_file(files: list[str], tmp_path: Path) -> None:
    found = printed(*files)
    about = {
        "command": "c",
        "commit": "0123456789",
        "date": "d",
        "machine": "m",
        "seconds": 60,
        "seeds": [0, 1],
    }
    text = markdown(found | {"about": about})
    assert "up to 3 MFLOPs: behind no rival" in text
    assert {seed for row in found["rows"] for seed in seeds_behind(row)} == {0, 1}
    assert "| attention | 87.5 (" in text and "| attention, minus the best rival | 22.5 (" in text
    draw(found, tmp_path / "found.png")
    assert (tmp_path / "found.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("text", "words"),
    [("{}", "'dataset'"), ('{"points": 3}', "'dataset'"), ("nothing", "found damage (Expecting value")],
)
def test_other_files_are_refused_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    result = CliRunner().invoke(main, [str(tmp_path / "other.json")])
    assert_refused(result, f"in {tmp_path / 'other.json'}", words, "hardattn frontier")


def test_a_frontier_without_its_runs_is_refused(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "a" / "cnn-1" / RIGHT).unlink()
    assert_refused(CliRunner().invoke(main, [files[0]]), str(tmp_path / "a" / "cnn-1"), "hardattn frontier")


def test_tasks_of_other_seeds_are_refused(files: list[str], tmp_path: Path) -> None:
    """Their mean would be called one of all seeds of the first."""
    other = write_frontier(tmp_path / "c", "Young", (30,), (32,))
    assert_refused(CliRunner().invoke(main, [*files, other]), "[0, 1]", "[0] for celebahq Young", "--seeds")
