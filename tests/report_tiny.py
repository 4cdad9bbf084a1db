"""Barely trained runs on the embedded digits, and a frontier, for the tests of `hardattn report`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hardattn.cli.main import main

COMMANDS = {
    "epe-head-0": ["--method", "epe-head"],
    "gauss-0": ["--policy", "gaussian", "--scales", "2", "--name", "gauss", "--reward", "final=0.5"],
    "random-0": ["--method", "random", "--no-augment"],
    "fc-0": ["--baseline", "fc", "--hidden", "16"],
}
POINT = {
    "family": "cnn",
    "name": "cnn-1",
    "rule": "fixed",
    "threshold": 1.0,
    "mflops": 2.0,
    "pixels": 400.0,
    "test_accuracy": 0.5,
}


def trained(folder: Path, label: str, options: Sequence[str]) -> Path:
    """The folder `hardattn-LABEL` of a run with these options, trained for three iterations."""
    glimpses = [] if "--baseline" in options else ["--glimpses", "2"]
    common = ["train", "--run", str(folder), "--epochs", "0.04", "--device", "cpu", *glimpses]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hardattn.training.budget.CHECK_EVERY", 2)  # before and after an iteration
        done = CliRunner().invoke(main, [*common, *options])
    assert done.exit_code == 0, done.output
    return folder / f"hardattn-{label}"


def digits_runs(folder: Path) -> dict[str, Path]:
    """Label -> run folder: an EPE map, a Gaussian policy, random places, and the whole image."""
    return {label: trained(folder, label, options) for label, options in COMMANDS.items()}


def write_frontier(path: Path, **about: Any) -> Path:
    """A file of three points, of which validation chose the first and the last."""
    other = {"name": "cnn-2", "mflops": 3.0, "test_low": 0.4, "test_high": 0.6}
    exits = {"family": "early exit", "name": "exits", "rule": "confidence", "threshold": 0.875}
    points = [POINT, POINT | other, POINT | other | exits | {"mflops": 0.5}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about | {"points": points, "frontiers": {"cnn": [0], "early exit": [2]}}))
    return path
