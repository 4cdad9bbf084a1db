"""Milliseconds, bytes and int8 of what a frontier chooses: end to end on the built-in digits."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import benchmarks.frontiers.times
from benchmarks.frontiers.int8 import in_int8
from benchmarks.frontiers.times import main
from data.registry import load
from hardattn.baselines.networks import make_baseline
from hardattn.experiments.frontier.grid import read_grid
from hardattn.experiments.frontier.sweep import frontier

GRID = """
[[families]]
name = "attention"
method = "random"
sizes = [{ hidden = 8 }]
[[families]]
name = "cnn"
baseline = "cnn"
sizes = [{ resolution = 10, width = 0.25 }]
"""


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization:DeprecationWarning")
def test_a_row_for_each_network_that_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ROUNDS": 1, "SECONDS": 0.0, "CALIBRATION": 8}.items():
        monkeypatch.setattr(benchmarks.frontiers.times, name, value)
    (tmp_path / "grid.toml").write_text(GRID)
    members = read_grid("digits", tmp_path / "grid.toml")
    frontier(load("digits"), members, tmp_path, minutes=0.002, device="cpu", say=lambda _: None)
    done = CliRunner().invoke(main, [str(tmp_path / "frontier" / "frontier.json"), "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert {(row["family"], row["arithmetic"]) for row in rows} == {
        ("attention", "float32"),
        ("cnn", "float32"),
        ("cnn", "int8"),
    }
    assert all(row["milliseconds_batch_1"] > row["milliseconds_batch_64"] > 0 for row in rows)
    [read] = {(row["bytes_binning"], row["bytes_software"]) for row in rows if row["family"] == "cnn"}
    assert read == (10 * 10, 40 * 40)


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization:DeprecationWarning")
def test_eight_bits_are_nearly_the_same_function() -> None:
    torch.manual_seed(0)
    network, images = make_baseline("cnn", (1, 16, 16), 5).eval(), torch.rand(32, 1, 16, 16)
    with torch.no_grad():
        exact = network(images)
    off = (in_int8(network, images)(images) - exact).abs().max()
    assert 0 < off < 0.1 * (exact.amax() - exact.amin())
