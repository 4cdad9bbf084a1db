"""Training runs of baselines: learning, resumption, evaluation, and what the command line refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_split

from data.dataset import DataSet
from data.errors import CheckpointError, SettingsError
from data.files import write_json
from data.geometry import Geometry
from data.logs import read_log
from data.tensors import load_tensors
from hardattn import runs as training
from hardattn.baselines.networks import make_baseline
from hardattn.baselines.registry import BASELINES
from hardattn.baselines.training import (
    BaselineRecipe,
    WholeImageTrainer,
    logits_of,
    one_glimpse,
    train_baseline,
)
from hardattn.cli.main import main
from hardattn.cli.recipe import WITH_BASELINE
from hardattn.evaluation import evaluate
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from supervision.batches import MixedBatches

RECIPE = BaselineRecipe(batch_size=16)
SHORT = {"recipe": RECIPE, "budget": Budget(epochs=2), "device": "cpu"}  # 6 iterations


@pytest.fixture
def _check_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 2)


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return load_tensors(folder / name, checkpoint.COMMAND)[0]


def without_seconds(folder: Path) -> list[dict[str, object]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(folder / checkpoint.LOG)]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("_check_often")
@pytest.mark.parametrize("baseline", ["fc", "conv", "resnet", "cnn", "separable"])
def test_learns_the_made_up_task(tmp_path: Path, baseline: str) -> None:
    options = SHORT | {"budget": Budget(epochs=60)}
    folder = train_baseline(tiny_dataset(), tmp_path / "run", baseline, **options)
    result = evaluate(folder, dataset=tiny_dataset())
    assert result.accuracy_at["1"] > 0.9
    assert 0 < result.iterations_to_convergence <= 180


@pytest.mark.usefixtures("_check_often")
@pytest.mark.parametrize("stop_at", [1, 3, 4])
@pytest.mark.parametrize("baseline", ["fc", "resnet"])
def test_resumed_run_has_the_same_bytes(
    tmp_path: Path, baseline: str, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_baseline(tiny_dataset(), tmp_path / "whole", baseline, **SHORT)
    step = WholeImageTrainer.step

    def interrupted(self: WholeImageTrainer, *arguments: object) -> None:
        if self.iteration == stop_at:
            raise KeyboardInterrupt
        step(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(WholeImageTrainer, "step", interrupted)
        train_baseline(tiny_dataset(), tmp_path / "parts", baseline, **SHORT)
    parts = train_baseline(tiny_dataset(), tmp_path / "parts", baseline, **SHORT)
    for name in (checkpoint.LAST, checkpoint.MODEL):
        one, two = weights(whole, name), weights(parts, name)
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    assert without_seconds(whole) == without_seconds(parts)
    assert "loss_classification" in without_seconds(whole)[-1]


def test_another_seed_baseline_or_width_is_another_run(tmp_path: Path) -> None:
    train_baseline(tiny_dataset(), tmp_path / "run", "fc", **SHORT)
    for changed, words in (
        ({"seed": 7}, "seed = 7, found 0"),
        ({"baseline": "cnn"}, 'baseline = "cnn", found "fc"'),
        ({"hidden": 64}, '"hidden": 64.*found .*"hidden": null'),
    ):
        with pytest.raises(CheckpointError, match=words):
            train_baseline(tiny_dataset(), tmp_path / "run", **{"baseline": "fc"} | SHORT | changed)


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    folder = train_baseline(tiny_dataset(), tmp_path / "run", "conv", **SHORT)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    train_baseline(tiny_dataset(), tmp_path / "run", "conv", **SHORT)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_network_sees_the_whole_images() -> None:
    network, split = make_baseline("fc", (1, 16, 16), 2).eval(), tiny_split(300, seed=1)
    images = split.images.permute(0, 3, 1, 2).float() / 255
    found = logits_of(network, split, one_glimpse(GEOMETRY))
    torch.testing.assert_close(found[:, 0], network(images).detach())


def test_training_images_are_mirrored_and_shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Corners of a bright square in its training images, by the largest shift of an eighth."""
    split, geometry = tiny_split(2, seed=1), one_glimpse(GEOMETRY)
    seen = list[torch.Tensor]()
    network = make_baseline("fc", (1, 16, 16), 2)
    network.register_forward_pre_hook(lambda _network, given: seen.append(given[0]))
    recipe = BaselineRecipe(jitter=1 / 8, mirror=True, tone=0.0)
    batches = MixedBatches(split, 1, 64, seed=0)
    trainer = WholeImageTrainer(network, batches.pool, geometry, recipe, seed=0)
    batch = next(iter(batches))
    trainer.step(batch, 0.0)
    bright = seen[0][batch.labels == 0, 0] == 1
    rows, columns = (bright.any(axis).int().argmax(1).unique().tolist() for axis in (2, 1))
    assert rows == [2, 3, 4, 5, 6]
    assert columns == [0, 1, 2, 10, 11, 12, 13, 14]  # the rest of the square may be outside


@pytest.mark.parametrize("baseline", BASELINES)
def test_evaluation_has_the_keys_of_a_network(tmp_path: Path, baseline: str) -> None:
    folder = train_baseline(tiny_dataset(), tmp_path / "run", baseline, **SHORT)
    result = evaluate(folder, dataset=tiny_dataset()).to_json()
    options = SHORT | {"recipe": None}
    network = evaluate(training.train(tiny_dataset(), tmp_path / "ram", **options), dataset=tiny_dataset())
    assert list(result) == list(network.to_json())
    assert list(result["accuracy_at"]) == list(result["nll_at"]) == ["1"] and result["test_images"] == 30
    assert result["curve"][0]["mflops"] == pytest.approx(result["mflops_per_glimpse"])
    assert len(result["curve"]) == 1 or baseline == "early-exit"
    assert result["method"] == baseline and result["parameters"] > 1000 and network.parameters > 1000
    assert json.loads((folder / "evaluation.json").read_text()) == result
    assert (folder / "curve.png").read_bytes()[1:4] == b"PNG"


def test_several_trajectories_are_refused(tmp_path: Path) -> None:
    folder = train_baseline(tiny_dataset(), tmp_path / "run", "fc", **SHORT)
    with pytest.raises(SettingsError, match="expected 1 trajectory .* found 2"):
        evaluate(folder, dataset=tiny_dataset(), trajectories=2)


def test_evaluation_opens_the_test_split_only(tmp_path: Path) -> None:
    folder = train_baseline(tiny_dataset(), tmp_path / "run", "fc", **SHORT)
    alone = DataSet("tiny", "label", ("left", "right"), GEOMETRY, 3, {"test": lambda: tiny_split(4, 9)})
    assert evaluate(folder, dataset=alone).test_images == 4


def test_a_run_of_an_unknown_baseline_is_refused(tmp_path: Path) -> None:
    folder = train_baseline(tiny_dataset(), tmp_path / "run", "fc", **SHORT)
    run = checkpoint.read_json(folder / checkpoint.RUN)
    run["settings"]["baseline"] = "mlp"
    write_json(folder / checkpoint.RUN, run)
    with pytest.raises(CheckpointError, match="mlp"):
        evaluate(folder, dataset=tiny_dataset())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, "a seed from 0 to 2147483647, found -1"),
        ({"baseline": "mlp"}, "a baseline of fc, .* found 'mlp'"),
        ({"baseline": "resnet", "hidden": 64}, "no --hidden with --baseline resnet, found 64"),
        ({"device": "abacus"}, "device auto, cpu or cuda; found 'abacus'"),
    ],
)
def test_bad_settings_write_nothing(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        train_baseline(tiny_dataset(), tmp_path / "run", **{"baseline": "fc"} | SHORT | options)
    assert not (tmp_path / "run").exists()


def test_images_that_are_no_squares_are_refused() -> None:
    with pytest.raises(SettingsError, match="expected square images .* 40 x 60"):
        one_glimpse(Geometry(40, 60, 1, glimpse_size=8))


def test_the_command_line_trains_and_evaluates(tmp_path: Path) -> None:
    options = ["--epochs", 0.05, "--hidden", 64, "--batch-size", 32, "--no-augment", "--seed", 3]
    made = call("train", "--baseline", "fc", "--run", tmp_path, *options)
    folder = tmp_path / "hardattn-fc-3"
    assert made.exit_code == 0 and str(folder) in made.stdout, made.output
    recipe = checkpoint.read_json(folder / checkpoint.RUN)["settings"]["recipe"]
    assert (recipe["jitter"], recipe["mirror"], recipe["tone"], recipe["hidden"]) == (0, False, 0, 64)
    found = json.loads(call("evaluate", folder, "--json").stdout)
    assert found["dataset"] == "digits" and list(found["accuracy_at"]) == ["1"]
    assert found["parameters"] == sum(np.prod(w.shape) for w in weights(folder, checkpoint.MODEL).values())
    assert "the whole image" in call("evaluate", folder).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--method", "ram"],
        ["--supervise"],
        ["--supervised-images", "5"],
        ["--glimpses", "2"],
        ["--glimpse-size", "8"],
        ["--scales", "1"],
        ["--policy", "categorical"],
        ["--deviation", "0.1"],
        ["--encoder", "conv"],
        ["--combine", "add"],
        ["--core", "gru"],
        ["--batch-norm"],
        ["--loss-at", "last"],
        ["--reward", "final"],
        ["--supervision-weight", "1"],
    ],
)
def test_options_of_glimpses_are_refused_in_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("train", "--baseline", "fc", *arguments)
    assert_refused(result, f"expected no {arguments[0]} with --baseline, found it; leave")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--baseline", "mlp"], ("--baseline", "'mlp'", "separable")),
        (
            ["--baseline", "cnn", "--hidden", "8"],
            ("no --hidden with --baseline cnn", "found 8", "fc or conv"),
        ),
        (["--baseline", "fc", "--epochs", "0"], ("a finite budget above 0", "found 0.0")),
    ],
)
def test_bad_input_gets_one_line(
    arguments: list[str], words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(call("train", *arguments), *words)
    assert list(tmp_path.iterdir()) == []


def test_options_of_a_baseline_are_those_that_are_not_refused() -> None:
    """A name that no option has any more would be a mistake that refuses nothing."""
    assert set(WITH_BASELINE) <= {option.name for option in main.commands["train"].params}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_evaluation_agrees_between_cuda_and_cpu(tmp_path: Path) -> None:
    options = SHORT | {"device": "cuda", "budget": Budget(epochs=60)}
    folder = train_baseline(tiny_dataset(), tmp_path / "run", "resnet", **options)
    one, two = (evaluate(folder, dataset=tiny_dataset(), device=device) for device in ("cuda", "cpu"))
    assert one.nll_at["1"] == pytest.approx(two.nll_at["1"], abs=1e-2)
    assert one.accuracy_at["1"] > 0.9
