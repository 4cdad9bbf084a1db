"""Trainings that end before their time: by patience, which ends them for good, and by a limit of one call."""

import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from hardattn_tiny import interrupted_after, tiny_dataset

import hardattn
from data.errors import SettingsError, UnfinishedError
from data.logs import metrics_of, read_log
from data.tensors import load_tensors
from hardattn.baselines.training import train_baseline
from hardattn.cli.main import main
from hardattn.cli.train_options import LEFT
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.budget import Budget, TimeLimit
from hardattn.training.ending import early_end, standing_of

SHORT: dict[str, Any] = {"device": "cpu", "batch_size": 16, "hidden": 8, "learning_rate": 1.0, "average": 0.0}
EPOCHS = 6  # of three iterations


@pytest.fixture(autouse=True)
def _check_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 2)


def network(folder: Path, patience: int | None = None, **options: Any) -> Path:
    budget = Budget(epochs=EPOCHS, patience=patience)
    return train(tiny_dataset(), folder, method="random", budget=budget, **SHORT, **options)


def baseline(folder: Path, patience: int | None = None, **options: Any) -> Path:
    budget = Budget(epochs=EPOCHS, patience=patience)
    return train_baseline(tiny_dataset(), folder, "fc", budget=budget, **SHORT, **options)


def checks(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(folder / checkpoint.LOG)]


def files(folder: Path) -> dict[str, torch.Tensor]:
    names = (checkpoint.LAST, checkpoint.MODEL)
    return {f"{n} {k}": v for n in names for k, v in load_tensors(folder / n, "")[0].items()}


def same(one: Path, other: Path) -> bool:
    mine, its = files(one), files(other)
    return checks(one) == checks(other) and all(torch.equal(mine[name], its[name]) for name in mine | its)


def ends_at(log: list[dict[str, Any]], patience: int, figure: str) -> int:
    """The first check before which so many in a row are no better than one before them, by hand."""
    best, waited = float("inf"), 0
    for line in log:
        missed = line["nll"] if figure == "nll" else 1 - line["accuracy"]
        best, waited = (missed, 0) if missed < best else (best, waited + 1)
        if waited == patience:
            return int(line["iteration"])
    return int(log[-1]["iteration"])


@pytest.mark.parametrize(("kind", "select"), [(network, "nll"), (baseline, "accuracy")])
def test_patience_ends_a_training_whose_rate_goes_by_the_whole_budget(
    tmp_path: Path, kind: Callable[..., Path], select: str
) -> None:
    whole = checks(kind(tmp_path / "whole", select=select))
    ends = {n: ends_at(whole, n, select) for n in (1, 2, 3)}
    patience = max(n for n, end in ends.items() if end < whole[-1]["iteration"])
    folder = kind(tmp_path / "early", patience, select=select)
    assert checks(folder) == [line for line in whole if line["iteration"] <= ends[patience]]
    figure = {"nll": "NLL", "accuracy": "accuracy"}[select]
    assert early_end(folder) == (
        f"stopped after {ends[patience]} of 18 iterations: {patience} checks in a row have found no better "
        f"{figure} than after {ends[patience] - 2 * patience}"
    )
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    kind(folder, patience, select=select)  # is finished
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_patience_goes_on_where_a_training_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = network(tmp_path / "whole", 2)
    with interrupted_after(3, monkeypatch):
        network(tmp_path / "parts", 2)
    assert standing_of(tmp_path / "parts").saved == 2 and not standing_of(tmp_path / "parts").is_over
    assert same(network(tmp_path / "parts", 2), whole) and standing_of(whole).is_over


def limit(calls: int) -> TimeLimit:
    """Is reached when it is asked so many times."""
    return TimeLimit(1, clock=itertools.count(step=60 / calls).__next__)


def test_a_training_in_calls_of_limited_time_is_that_of_one_call(tmp_path: Path) -> None:
    whole, left = network(tmp_path / "whole", 3), list[int]()
    for calls in itertools.cycle([1, 6]):
        try:
            network(tmp_path / "parts", 3, time_limit=limit(calls))
            break
        except UnfinishedError as error:
            left.append(standing_of(tmp_path / "parts").saved)
            assert f"limit of 1 minutes is reached after {left[-1]} iterations" in str(error)
    assert len(left) > 2 and left == sorted(set(left)) and any(iteration % 2 for iteration in left)
    assert same(tmp_path / "parts", whole)


@pytest.mark.parametrize("patience", [0, True, 1.5, "2"])
def test_a_patience_is_a_number_of_checks(patience: Any) -> None:
    with pytest.raises(SettingsError, match="--patience of at least 1 check, found"):
        Budget(patience=patience)


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), "1"])
def test_a_time_limit_is_a_number_of_minutes(minutes: Any) -> None:
    with pytest.raises(SettingsError, match="finite time limit above 0 minutes, found"):
        TimeLimit(minutes)


def test_in_memory_there_is_nothing_to_go_on_in() -> None:
    with pytest.raises(SettingsError, match="a folder with a time limit"):
        hardattn.train(tiny_dataset(), time_limit=TimeLimit(1))
    with pytest.raises(SettingsError, match=r"the tracker|the package tensorboard"):
        hardattn.train(tiny_dataset(), tracker="tensorboard")


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is an extra")
def test_tensorboard_has_the_log_of_a_training_that_was_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with interrupted_after(5, monkeypatch):
        network(tmp_path / "run", 4, tracker="tensorboard")
    log = checks(network(tmp_path / "run", 4, tracker="tensorboard"))
    kept = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert set(kept.Tags()["scalars"]) == {"seconds", *(name for line in log for name in metrics_of(line))}
    for name in ("nll", "accuracy", "loss_classification"):
        curve = [(line["iteration"], pytest.approx(line[name])) for line in log if name in line]
        assert [(event.step, event.value) for event in kept.Scalars(name)] == curve


def test_the_command_line_leaves_at_its_limit_and_takes_it_up(tmp_path: Path) -> None:
    def call(*more: str) -> Result:
        size = ("--epochs", "0.02", "--batch-size", "32", "--hidden", "8")
        task = ("--run", str(tmp_path), "--method", "random", "--device", "cpu")
        return CliRunner().invoke(main, ["train", *task, *size, *more])

    left = call("--time-limit", "1e-9")
    assert left.exit_code == LEFT and "trained" not in left.output
    assert left.stderr.splitlines()[-1].endswith("-random-0 has; the same command takes it up again")
    assert standing_of(tmp_path / "hardattn-random-0").saved == 1
    done = call()
    assert done.exit_code == 0 and standing_of(tmp_path / "hardattn-random-0").is_over
