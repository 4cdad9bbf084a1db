"""Several trainings at a time: what is done is what one worker does, and what is raised ends them."""

import os
from pathlib import Path
from typing import Any

import pytest
from hardattn_tiny import tiny_dataset
from reproduce_tiny import row, use_table
from workers_tiny import made_of

import hardattn.experiments.reproduce.trainings as reproducing
from data.errors import DataError, SettingsError
from data.registry import load
from hardattn.experiments.frontier.grid import read_grid
from hardattn.experiments.frontier.sweep import frontier
from hardattn.experiments.reproduce.settings import Training, read_table, trainings
from hardattn.experiments.workers import spread

GRID = """
[[families]]
name = "fc"
baseline = "fc"
sizes = [{ hidden = 4, resolution = 8 }, { hidden = 8, resolution = 8 }]
"""
CHAIN = """
dataset = "digits"
glimpses = 2

[[rows]]
name = "last"
method = "ps-ram"
sequences = "recorded"

[[rows]]
name = "first"
method = "ram"
"""


def test_workers_are_other_processes_and_what_they_raise_ends_all() -> None:
    done = dict(spread(made_of, [3, 4, 5], 2))
    assert {at: value for at, (value, _) in done.items()} == {0: 6, 1: 8, 2: 10}
    assert os.getpid() not in {process for _, process in done.values()}
    with pytest.raises(DataError, match="expected another number, found 7; take it"):
        list(spread(made_of, [9, 7], 2))
    with pytest.raises(SettingsError, match="workers of at least 1, found 0"):
        list(spread(made_of, [3], 0))


def test_a_frontier_of_two_workers_is_one_of_one(tmp_path: Path) -> None:
    """In the same order; what two have trained is not trained again."""
    path, said = tmp_path / "grid.toml", list[str]()
    path.write_text(GRID)
    networks = read_grid("digits", path)
    options: dict[str, Any] = {"minutes": 0.001, "device": "cpu", "say": said.append}
    found = frontier(load("digits"), networks, tmp_path, workers=2, **options)
    words = "resolution 8, seed 0: 0.0 minutes, done"
    assert sorted(said) == [f"fc hidden {hidden} {words}" for hidden in (4, 8)]
    assert frontier(load("digits"), networks, tmp_path, **options) == found and len(said) == 2
    assert [point.run for point in found.points if point.rule == "fixed"] == [
        f"fc-hidden-{hidden}-resolution-8-0" for hidden in (4, 8)
    ]


def test_several_workers_open_a_data_set_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    with pytest.raises(DataError, match="expected a data set with --workers to say what"):
        frontier(tiny_dataset(), read_grid("tiny", path), tmp_path, minutes=0.001, device="cpu", workers=2)


def test_what_others_need_is_trained_before_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_table(monkeypatch, tmp_path, CHAIN)
    every = trainings(read_table("tiny"), minutes=1, seed=0, seeds=2)
    work = reproducing.Work(every, None, tmp_path, "cpu", None, None)
    last = [one for one in every if one.name == "last"]
    assert [[one.run_name for one in level] for level in work.levels(last)] == [
        ["first-0", "first-1"],
        ["last-0", "last-1"],
    ]


def test_rows_come_after_what_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences are made here, before those who imitate them are trained."""
    use_table(monkeypatch, tmp_path, CHAIN)
    done = list[str]()

    def note(kind: str, value: Any = None) -> Any:
        def noted(_: Any, training: Training) -> Any:
            done.append(f"{kind} {training.run_name}")
            return value or row(training.name, 10.0)

        return noted

    def beside(work: Any, things: list[Training], workers: int) -> Any:
        assert workers == 2
        return enumerate([work(one) for one in reversed(things)])

    for kind, value in (("sequences", "store"), ("trained", "folder"), ("row", None)):
        monkeypatch.setattr(reproducing.Work, kind, note(kind, value))
    monkeypatch.setattr(reproducing, "spread", beside)
    options: dict[str, Any] = {"seeds": 1, "only": "last", "device": "cpu", "say": lambda _: None}
    found = reproducing.reproduce("tiny", None, tmp_path / "run", workers=2, **options)
    assert done == ["trained first-0", "sequences last-0", "trained last-0", "row last-0", "row last-0"]
    assert [one.method for one in found.rows] == ["last"]
