"""Two processes that train together: the curve of one, its files, and runs that go from one to two."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_tiny import BRIEF, CHECK_EVERY, COMMON, WHOLE, together
from hardattn_tiny import interrupted_after, tiny_dataset, tiny_store

from data.logs import read_log
from data.tensors import load_tensors
from hardattn.runs import train
from hardattn.training.checkpoint import LAST, MODEL

FIGURES = ("nll", "accuracy", "loss_classification", "loss_imitation", "loss_reinforce", "loss_gain")


def curve(run: Path) -> list[list[float]]:
    return [[line.get(name, 0.0) for name in FIGURES] for line in read_log(run / "log.jsonl")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trainings of one process, and of two."""
    place = tmp_path_factory.mktemp("distributed")
    store = tiny_store(place / "sequences.h5", tiny_dataset())
    options: dict[str, Any] = {"store": store, "budget": WHOLE, **COMMON}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hardattn.training.budget.CHECK_EVERY", CHECK_EVERY)
        train(tiny_dataset(), place / "alone", **options)
        train(tiny_dataset(), place / "brief", **options | {"budget": BRIEF})
        with interrupted_after(CHECK_EVERY + 3, patch):
            train(tiny_dataset(), place / "taken-up", **options)
        assert together(place) == -signal.SIGKILL  # so the second one opened no file to write
    return place


@pytest.mark.parametrize("run", ["together", "taken-up"])
def test_the_curve_is_that_of_one_process(run: str, folder: Path) -> None:
    """With the same batches in all; also of a run that one process began and two took up."""
    expected, found = curve(folder / "alone"), curve(folder / run)
    assert len(found) == 4 and expected[0][2:] != expected[-1][2:]
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, abs=2e-4)
    for name in (MODEL, LAST):
        weights, _ = load_tensors(folder / "alone" / name, "")
        others, _ = load_tensors(folder / run / name, "")
        for part, value in weights.items():
            torch.testing.assert_close(others[part], value, atol=5e-4, rtol=1e-3)


def test_how_many_processes_trained_is_not_part_of_a_run(folder: Path) -> None:
    settings = [
        json.loads((folder / run / "run.json").read_text()) for run in ("alone", "together", "taken-up")
    ]
    assert settings[0] == settings[1] == settings[2]
    assert {path.name for path in (folder / "together").iterdir()} == {
        path.name for path in (folder / "alone").iterdir()
    }


def test_products_of_fewer_digits_learn_about_the_same(folder: Path) -> None:
    """Of the cross-entropies; what REINFORCE earns depends on single places."""
    expected, found = curve(folder / "brief")[-1], curve(folder / "bfloat16")[-1]
    assert found != expected and found[0] == pytest.approx(expected[0], abs=0.01)
    assert found[2] == pytest.approx(expected[2], abs=0.01)


def test_time_is_that_of_the_first_process(folder: Path) -> None:
    line = list(read_log(folder / "clock" / "log.jsonl"))[-1]
    saved = load_tensors(folder / "clock" / LAST, "")[1]
    assert saved["seconds"] >= line["seconds"] >= 0.12
    assert saved["iteration"] == line["iteration"] > 0  # the last iteration was checked by both
