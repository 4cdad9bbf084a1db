"""Robustness: the attack in closed form, severity 0 as evaluated, what it depends on, the command."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from hardattn_tiny import tiny_dataset
from report_tiny import trained
from torch import Tensor
from torch.nn.functional import nll_loss
from vision_tiny import FUNCTIONAL, take_torchvision

from data.corruption_names import SEVERITIES
from data.corruptions import corrupted
from data.dataset import Split
from data.errors import SettingsError
from hardattn.baselines.training import train_baseline
from hardattn.cli.main import main
from hardattn.cli.robustness import table
from hardattn.evaluation import evaluate, looks_at
from hardattn.loading import Trained, open_trained
from hardattn.robustness.attack import attacked, descended, predictor, require_attack
from hardattn.robustness.measure import accuracy_of, measured, names_of, point_of, robustness
from hardattn.runs import train
from hardattn.training.budget import Budget

DATASET = tiny_dataset()
TEST = DATASET["test"]
SHORT: dict[str, Any] = {"budget": Budget(epochs=8), "device": "cpu", "batch_size": 16}
RUNS: dict[str, dict[str, Any]] = {
    "ram": {"method": "ram", "hidden": 16},
    "retina": {"method": "random", "hidden": 16, "geometry": replace(DATASET.geometry, scales=2)},
    "sides": {"method": "ram", "hidden": 16, "geometry": replace(DATASET.geometry, sides=(4, 8, 16))},
    "multiglimpse": {"method": "multiglimpse", "hidden": 8, "glimpses": 3},
}
BASELINES: dict[str, dict[str, Any]] = {"cnn": {}, "fc": {"resolution": 7}, "early-exit": {}}
EVERY = (*RUNS, *BASELINES)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of runs of every kind, by what is special about them."""
    folder = tmp_path_factory.mktemp("runs")
    made = {name: train(DATASET, folder / name, **SHORT | chosen) for name, chosen in RUNS.items()}
    return made | {
        name: train_baseline(DATASET, folder / name, name, **SHORT | chosen)
        for name, chosen in BASELINES.items()
    }


def opened(folder: Path) -> Trained:
    return open_trained(folder, dataset=DATASET, device="cpu")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def log_probs(run: Trained, split: Split) -> Tensor:
    """(N, K) the last prediction, as evaluation has it."""
    if run.method in BASELINES:
        with torch.no_grad():
            return predictor(run)(split.images.float()).log_softmax(-1)
    return looks_at(run, split).predictions.log_probs[:, -1]


@pytest.mark.parametrize("steps", [1, 4])
def test_against_a_linear_network_the_attack_is_known(steps: int) -> None:
    weights = torch.tensor([2.0, -1.0, 0.0]).view(1, 1, 3, 1)

    def predict(pixels: Tensor) -> Tensor:
        score = (weights * pixels / 255).sum((1, 2, 3))
        return torch.stack([torch.zeros_like(score), score], 1)

    images = torch.tensor([[100.0, 100.0, 100.0], [3.0, 250.0, 0.0]]).view(2, 1, 3, 1)
    found = descended(predict, images, images, torch.tensor([1, 1]), 8, steps).view(2, 3)
    assert found.tolist() == [
        [92, 108, 100],
        [0, 255, 0],
    ]  # down with the score, but not beyond black and white
    other = descended(predict, images, images, torch.tensor([0, 0]), 8, steps).view(2, 3)
    assert other.tolist() == [[108, 92, 100], [11, 242, 0]]


@pytest.mark.parametrize("name", EVERY)
def test_an_attack_stays_within_epsilon_and_does_harm(name: str, runs: dict[str, Path]) -> None:
    run = opened(runs[name])
    for severity, most in ((1, 4), (5, 20)):
        found = attacked(run, TEST, severity, epsilon=20, steps=4)
        change = found.images.int() - TEST.images.int()
        assert found.images.dtype == torch.uint8 and found.images.shape == TEST.images.shape
        assert int(change.abs().max()) == most
    noise = torch.randint(0, 2, change.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    noisy = replace(TEST, images=(TEST.images.int() + 20 * noise).clamp(0, 255).to(torch.uint8))
    harm = [float(nll_loss(log_probs(run, split), TEST.labels)) for split in (noisy, found)]
    assert harm[1] > harm[0]
    assert attacked(run, TEST, 0, epsilon=20, steps=4) is TEST


@pytest.mark.parametrize("name", ["ram", "multiglimpse", "cnn"])
def test_the_attack_sees_what_the_network_sees(name: str, runs: dict[str, Path]) -> None:
    run = opened(runs[name])
    with torch.no_grad():
        logits = predictor(run)(TEST.images.float())
    torch.testing.assert_close(logits.log_softmax(-1), log_probs(run, TEST).float(), atol=1e-4, rtol=1e-4)


def test_the_gradient_goes_through_the_glimpses_alone(runs: dict[str, Path]) -> None:
    run = opened(runs["ram"])
    pixels = TEST.images[:6].float().requires_grad_()
    (slope,) = torch.autograd.grad(predictor(run)(pixels)[:, 0].sum(), pixels)
    seen = torch.zeros(6, 16, 16, dtype=torch.bool)
    for number, places in enumerate(looks_at(run, TEST.take(torch.arange(6))).locations[:, 0].tolist()):
        for row, col, side in places:
            seen[number, row : row + side, col : col + side] = True
    assert (slope[..., 0] != 0)[~seen].sum() == 0 < (slope[..., 0] != 0)[seen].sum()


@pytest.mark.parametrize("name", EVERY)
def test_severity_0_is_what_was_evaluated(name: str, runs: dict[str, Path]) -> None:
    found = robustness(runs[name], corruptions=["noise"], dataset=DATASET, device="cpu")
    *_, last = evaluate(runs[name], dataset=DATASET, device="cpu").accuracy_at.values()
    points = found.corruptions["noise"]
    assert points[0].accuracy == last and found.images == 30
    assert [point.severity for point in points] == list(range(SEVERITIES + 1))
    assert all(point.low <= point.accuracy <= point.high for point in points)


def test_the_same_seed_gives_the_same_figures(runs: dict[str, Path]) -> None:
    options: dict[str, Any] = {"dataset": DATASET, "device": "cpu", "steps": 2, "epsilon": 60}
    wanted = ["pgd", "noise", "pgd"]
    one, same = (robustness(runs["cnn"], corruptions=wanted, **options) for _ in range(2))
    assert one == same and list(one.corruptions) == ["pgd", "noise"]
    assert one.corruptions["pgd"][5].accuracy < one.corruptions["pgd"][0].accuracy
    few = robustness(runs["cnn"], corruptions=["noise"], images=5, split="valid", **options)
    assert (few.images, few.split) == (5, "valid")
    assert {round(5 * point.accuracy, 6) for point in few.corruptions["noise"]} <= set(range(6))


def test_an_image_is_attacked_by_its_id_and_the_seed(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(runs["multiglimpse"])
    whole = attacked(run, TEST, 3, epsilon=10, steps=1).images
    monkeypatch.setattr("hardattn.robustness.attack.AT_ONCE", 7)
    again = attacked(run, TEST, 3, epsilon=10, steps=1).images
    assert (again != whole).double().mean() < 0.01  # but for rounding where a slope is 0
    assert not torch.equal(attacked(run, TEST, 3, 1, epsilon=10, steps=1).images, whole)


def test_figures_are_of_the_images_that_a_corruption_makes(runs: dict[str, Path]) -> None:
    run = opened(runs["cnn"])
    ways = {"as it is": lambda split, severity, seed: split, "black": _black}
    found = measured(run, TEST, ways)
    clean = accuracy_of(run, TEST)
    assert [point.accuracy for point in found["as it is"]] == [clean] * 6
    assert [point.accuracy for point in found["black"]] == [clean] + [0.5] * 5  # half of the labels are alike
    assert found["black"][1] == point_of(1, 0.5, 30)


def _black(split: Split, severity: int, seed: int) -> Split:
    return replace(split, images=torch.zeros_like(split.images))


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"corruptions": ["fog"]}, "expected a corruption of translation, .*, pgd; found 'fog'"),
        ({"epsilon": 0}, "expected --epsilon of at least 1, found 0"),
        ({"steps": 0}, "expected --steps of at least 1, found 0"),
        ({"seed": 2**31}, "expected a seed from 0 to 2147483647, found 2147483648"),
        ({"images": 31}, "expected 1 to 30 images, as many as there are, found 31"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    chosen: dict[str, Any], words: str, runs: dict[str, Path]
) -> None:
    with pytest.raises(SettingsError, match=words):
        robustness(runs["fc"], dataset=DATASET, device="cpu", **{"corruptions": ["noise"]} | chosen)
    with pytest.raises(SettingsError, match="expected a severity from 0 to 5, found 6"):
        attacked(opened(runs["fc"]), TEST, 6, epsilon=10, steps=1)


def test_all_corruptions_are_measured(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    take_torchvision("stand-in", monkeypatch)
    found = robustness(runs["cnn"], dataset=DATASET, device="cpu", images=10, steps=1)
    assert list(found.corruptions) == names_of()
    run, split = opened(runs["cnn"]), TEST.take(TEST.ids.new_tensor([0, 3]))
    assert accuracy_of(run, corrupted(split, "blur", 2)) in (0, 0.5, 1)


def test_a_missing_torchvision_is_told_before_anything_is_measured(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, FUNCTIONAL, None)
    monkeypatch.setattr("hardattn.robustness.measure.measured", None)
    with pytest.raises(SettingsError, match=r"torchvision for corruptions other than noise.*\[vision\]"):
        robustness(runs["fc"], dataset=DATASET, device="cpu")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("digits"), "fc-0", ["--baseline", "fc", "--hidden", "8"])


def test_the_command_prints_a_table_or_one_object_and_draws(digits: Path, tmp_path: Path) -> None:
    few = ("--corruption", "noise", "--corruption", "pgd", "--images", 8, "--steps", 1, "--device", "cpu")
    picture = tmp_path / "picture.png"
    done = call("robustness", digits, digits, *few, "--out", picture)
    assert done.exit_code == 0, done.output
    head, columns, *rows, last = done.stdout.splitlines()
    assert head.startswith("accuracy on 8 test images in %") and columns.split()[2:] == list("012345")
    assert [row.split()[1] for row in rows] == ["noise", "pgd"] * 2
    assert last == f"wrote {picture}" and picture.read_bytes().startswith(b"\x89PNG")
    told = json.loads(call("robustness", digits, *few, "--out", picture, "--json").stdout)
    (run,) = told["runs"]
    assert (run["method"], run["images"], run["epsilon"]) == ("fc", 8, 10)
    assert [len(points) for points in run["corruptions"].values()] == [6, 6]


def test_what_is_no_run_is_refused_before_another_is_measured(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardattn.robustness.measure.robustness", lambda *_, **__: pytest.fail("measured"))
    assert_refused(call("robustness", digits, tmp_path / "none"), "expected the folder of a training run")


def test_the_head_of_the_table_has_the_images_of_every_run(runs: dict[str, Path]) -> None:
    few, more = (
        robustness(runs["fc"], dataset=DATASET, device="cpu", corruptions=["noise"], images=count)
        for count in (3, 5)
    )
    assert table([few, few], ["a", "b"]).startswith("accuracy on 3 test images in %")
    assert table([few, more], ["a", "b"]).startswith("accuracy on 3, 5 test images in %")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--corruption", "fog"), "'fog' is not one of"),
        (("--epsilon", 0), "--epsilon of at least 1, found 0"),
        (("--out", "picture.jpg"), "a picture FILE.png"),
        (("--split", "all"), "'all' is not one of"),
    ],
)
def test_the_command_refuses_in_one_line(options: tuple[object, ...], word: str, digits: Path) -> None:
    assert_refused(call("robustness", digits, *options), word)


def test_an_epsilon_beyond_white_is_refused() -> None:
    require_attack(255, 1)
    with pytest.raises(SettingsError, match="at most 255, found 100000"):
        require_attack(100_000, 1)
