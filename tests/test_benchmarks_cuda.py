"""What is measured on a GPU is rehearsed without one: every stage gives its figures, and says what failed."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import benchmarks.cuda.command
import benchmarks.train_speed.command
from benchmarks.cuda.agreement import apart, glimpses, predictions, training
from benchmarks.cuda.command import STAGES, TINY, made_up, main
from benchmarks.cuda.precisions import PRECISIONS, precision
from data.gpu import mixed_precision
from hardattn.training.learner import Learner

ENDS = {
    "agreement": "gradient_relative",
    "training": "28",
    "inference": "28",
    "design": "seconds_per_design",
    "whole_run": "accuracy",
    "tests": "summary",
    "compiled": "28",
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled, and no tests run within this one."""
    monkeypatch.setattr(benchmarks.train_speed.command, "IMAGES", 128)
    monkeypatch.setattr(Learner, "compile", lambda self: None)
    done = subprocess.CompletedProcess([], 0, "12 passed in 1.00s", "")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: done)


def rehearsed(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(main, ["--device", "cpu", "--out", str(path), *options])
    return result.exit_code, json.loads(path.read_text())


def test_every_stage_gives_its_figures(tmp_path: Path, quick: None) -> None:
    code, found = rehearsed(tmp_path / "cuda.json")
    assert code == 0 and found["device"] and found["torch"] == torch.__version__
    assert list(found["stages"]) == list(STAGES) == list(ENDS)
    assert all(ENDS[name] in stage and stage["seconds"] >= 0 for name, stage in found["stages"].items())
    assert found["stages"]["agreement"]["loss_nats"] == 0
    rates = [*found["stages"]["training"]["28"].values(), *found["stages"]["inference"]["28"].values()]
    assert len(rates) == 3 * len(PRECISIONS) and all(rate > 0 for rate in rates)
    assert found["stages"]["design"]["candidates"] == TINY.per_axis**2
    parts = found["stages"]["whole_run"]["seconds_of"]
    assert list(parts) == ["decode", "fit", "generate", "train", "evaluate"]


def test_a_stage_that_fails_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(bench: Any) -> dict[str, Any]:
        raise RuntimeError("out of memory\nand more")

    stages = {"design": failing, "tests": lambda bench: {"summary": "fine"}}
    monkeypatch.setattr(benchmarks.cuda.command, "STAGES", stages)
    code, found = rehearsed(tmp_path / "cuda.json")
    assert code == 1 and found["stages"]["design"]["error"].startswith("RuntimeError: out of memory")
    assert found["stages"]["tests"]["summary"] == "fine"


def test_what_would_begin_too_late_is_left_out(tmp_path: Path, quick: None) -> None:
    options = ("--stage", "tests", "--stage", "compiled", "--minutes", "1.0")
    code, found = rehearsed(tmp_path / "cuda.json", *options)
    assert code == 0 and found["stages"] == {name: {"left_out": "time"} for name in ("tests", "compiled")}


def test_without_a_gpu_one_is_told_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = CliRunner().invoke(main, ["--out", str(tmp_path / "cuda.json")])
    assert result.exit_code == 2 and "expected a CUDA device, found none" in result.output


def test_another_device_agrees(twin: list[str]) -> None:
    task, device = made_up(TINY), torch.device("twin")
    with precision("float32", device):
        assert glimpses(task, device, 4) == 0 and predictions(task, device, 4) < 1e-5
        found = training(task, device, 4)
    assert found["loss_nats"] <= 2e-5 and found["gradient_relative"] < 1e-4
    assert apart(torch.tensor([1.0, torch.inf]), torch.tensor([1.5, torch.inf])) == 0.5


@pytest.mark.parametrize("name", PRECISIONS)
def test_arithmetic_is_as_before_afterwards(name: str, twin: list[str]) -> None:
    before, device = torch.get_float32_matmul_precision(), torch.device("twin")
    with precision(name, device):
        one = torch.ones(2, 2, device=device)
        assert ((one @ one).dtype == torch.bfloat16) is (name == "bfloat16")
        assert (torch.get_float32_matmul_precision() == "high") is (name == "tf32")
    assert torch.get_float32_matmul_precision() == before
    with mixed_precision(device):
        assert (one @ one).dtype == torch.bfloat16
