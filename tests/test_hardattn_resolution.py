"""Trainings on images that are averaged down before a network sees them."""

import json
from pathlib import Path

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_split

from data.averaging import averaged_down
from data.errors import SettingsError
from hardattn.baselines.layers import Baseline
from hardattn.baselines.resolution import at_resolution, seen_at
from hardattn.baselines.training import BaselineRecipe, one_glimpse, read_at_exits, train_baseline
from hardattn.cli.main import main
from hardattn.evaluation import evaluate
from hardattn.loading import open_trained
from hardattn.stopping.flops import mflops
from hardattn.training.budget import Budget


def test_the_same_split_is_averaged_once() -> None:
    split = tiny_split(4, seed=2)
    assert at_resolution(split, 8) is at_resolution(split, 8)
    assert at_resolution(split, None) is at_resolution(split, 16) is split


@pytest.mark.parametrize("resolution", [1, 17])
def test_what_is_no_reduction_is_refused(resolution: int, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"expected a --resolution from 2 .* 16, found {resolution}"):
        seen_at(one_glimpse(GEOMETRY), resolution)
    with pytest.raises(SettingsError, match=f"--resolution from 2 .* 16, found {resolution}"):
        train_baseline(tiny_dataset(), tmp_path / "run", "cnn", resolution=resolution, device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_network_is_trained_and_evaluated_at_its_resolution(tmp_path: Path) -> None:
    """The bright square has 2 x 2 pixels then."""
    recipe = BaselineRecipe(batch_size=16, resolution=8, width=0.5)
    budget = Budget(epochs=60)
    folder = train_baseline(
        tiny_dataset(), tmp_path / "run", "early-exit", recipe=recipe, budget=budget, device="cpu"
    )
    run = open_trained(folder, dataset=tiny_dataset(), device="cpu")
    assert isinstance(run.network, Baseline)
    split = tiny_dataset()["test"]
    small = averaged_down(split.images, 8).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        wanted = run.network.eval().at_exits(small)
    torch.testing.assert_close(read_at_exits(run.network, split, run.settings), wanted)
    result = evaluate(folder, dataset=tiny_dataset(), device="cpu")
    assert result.accuracy_at["1"] > 0.9
    assert result.mflops_per_glimpse == mflops(run.network, torch.zeros(1, 1, 8, 8))


def test_the_command_line(tmp_path: Path) -> None:
    options = ["--baseline", "separable", "--width", "0.25", "--resolution", "20", "--epochs", "0.05"]
    made = CliRunner().invoke(main, ["train", "--run", str(tmp_path), *options])
    assert made.exit_code == 0, made.output
    run = json.loads((tmp_path / "hardattn-separable-0" / "run.json").read_text())
    assert (run["settings"]["recipe"]["width"], run["settings"]["recipe"]["resolution"]) == (0.25, 20)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--width", "0.5"], "--baseline with --width"),
        (["--resolution", "8"], "--baseline with --resolution"),
        (["--baseline", "fc", "--width", "0.5"], "no --width with --baseline fc"),
        (["--baseline", "cnn", "--resolution", "41"], "--resolution from 2 to the images' 40, found 41"),
        (["--baseline", "cnn", "--resolution", "1"], "'--resolution': 1 is not in the range x>=2"),
    ],
)
def test_options_that_do_not_apply_are_refused_in_one_line(
    options: list[str], found: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(main, ["train", "--run", str(tmp_path / "run"), *options])
    assert_refused(result, found)
    assert not (tmp_path / "run").exists()
