"""Inspection of localisers: derivatives in closed form, sweeps, gradients over batches, the command."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from hardattn_tiny import tiny_dataset
from hypothesis import given
from hypothesis import strategies as st
from report_tiny import trained
from torch import Tensor, nn

from data.dataset import Split
from data.errors import SettingsError
from data.geometry import Geometry, affine_crops
from data.pool import ImagePool
from hardattn.cli.main import main
from hardattn.inspection.curves import Curve, curve
from hardattn.inspection.gradients import Spread, localiser_gradients
from hardattn.inspection.inspect import inspect_run, localising, sweeps_of
from hardattn.inspection.pictures import draw_inspection, picture_file
from hardattn.inspection.sweeps import AXES, SweptImage, losses_by_image, shaping_loss, value_of
from hardattn.loading import open_trained
from hardattn.model.clues import affine_of
from hardattn.model.localisers import crop_of, u_of
from hardattn.model.looking import look_of
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Rollout, explore, walk
from hardattn.objectives.methods import Objective
from hardattn.objectives.terms import LossInputs
from hardattn.runs import train
from hardattn.training.budget import Budget

DATASET = tiny_dataset()
SHORT: dict[str, Any] = {"budget": Budget(epochs=1), "device": "cpu", "batch_size": 16, "hidden": 8}
CROPS = affine_crops(Geometry(24, 24, 1, glimpse_size=6), 3)
U = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "hardattn-multiglimpse-0"
    return train(DATASET, path, method="multiglimpse", glimpses=3, **SHORT)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["--method", "multiglimpse", "--magnification", "5", "--hidden", "8", "--batch-size", "16"]
    return trained(tmp_path_factory.mktemp("digits"), "multiglimpse-0", words)


def network(**chosen: Any) -> HardAttention:
    torch.manual_seed(0)
    parts = {
        "encoder": "residual",
        "combine": "no-clue",
        "core": "attention",
        "policy": "affine",
        "hidden": 8,
    }
    made = HardAttention(1, CROPS.grid(), 3, 3, **parts | {"batch_norm": True} | chosen)
    return made.eval().requires_grad_(False)


def swept(made: HardAttention, image: Tensor, glimpse: int = 2) -> SweptImage:
    """One image (24, 24) of class 1, looked at three times in the middle."""
    split = Split(image.byte().view(1, 24, 24, 1), torch.tensor([1]), torch.tensor([0]), "")
    look, places = look_of(ImagePool([split]), CROPS.retina(), made.device), torch.tensor([0.5, 0.5, 0.5])
    middle = crop_of(places, 24)
    walked = torch.stack([torch.tensor([0.0, 0.0, 24.0]), middle, middle])
    objective = Objective(loss_at="after", auxiliary=0.6)
    return SweptImage(made, look, CROPS, objective, torch.tensor([0]), split.labels, walked, glimpse)


RAMP = (10 * torch.arange(24)).expand(24, 24)


@pytest.mark.parametrize("turns", [1, 2, 7])
def test_a_cosine_has_the_derivative_and_the_sign_changes_that_it_has(turns: int) -> None:
    values = torch.linspace(0.01, 2 * math.pi - 0.01, 201, dtype=torch.float64)
    found = curve(lambda value: (turns * value).cos(), values)
    torch.testing.assert_close(found.derivatives, -turns * (turns * values).sin())
    torch.testing.assert_close(found.differences, found.derivatives[1:-1], atol=turns**3 * 2e-4, rtol=0)
    assert found.sign_changes == 2 * turns - 1
    assert found.agreement > 0.97


def test_values_do_not_reach_into_one_another() -> None:
    values = torch.tensor([-2.0, -1.0, 0.5])
    found = curve(lambda value: value.abs(), values)
    assert found.derivatives.tolist() == [-1, -1, 1] and found.losses.tolist() == [2, 1, 0.5]
    assert found.differences.tolist() == [pytest.approx(-0.6)]
    assert (found.sign_changes, found.agreement) == (1, 1.0)


def test_where_autograd_tells_the_opposite_nothing_agrees() -> None:
    values = torch.linspace(0, 1, 11)
    found = curve(lambda value: value.detach() * 2 - value, values)  # rises, by a derivative of -1
    assert found.agreement == 0.0 and found.sign_changes == 0


def test_zeros_have_no_sign() -> None:
    losses, derivatives = torch.tensor([0.0, 1, 1, 1, 0]), torch.tensor([1.0, 0, 0, 1, -1])
    found = Curve(torch.arange(5.0), losses, derivatives)
    assert found.sign_changes == 1
    assert math.isnan(curve(lambda value: 0 * value, torch.arange(5.0)).agreement)


@given(U)
def test_u_is_what_a_crop_was_made_of(u: list[float]) -> None:
    given_u = torch.tensor(u, dtype=torch.float64)
    torch.testing.assert_close(u_of(crop_of(given_u, 24), 24), given_u, atol=1e-9, rtol=0)


@given(U)
def test_values_are_the_numbers_of_the_crop(u: list[float]) -> None:
    given_u = torch.tensor(u, dtype=torch.float64)
    s, x, y = affine_of(CROPS.centres(crop_of(given_u, 24)), CROPS.grid())
    for number, (axis, wanted) in enumerate(zip(AXES, (s, x, y), strict=True)):
        assert float(value_of(given_u[number], axis, s)) == pytest.approx(float(wanted), abs=1e-5)


@pytest.mark.parametrize("axis", AXES)
def test_on_a_smooth_image_autograd_is_the_finite_difference(axis: str) -> None:
    made = network()
    made.what = nn.Sequential(nn.Flatten(), nn.Linear(CROPS.glimpse_size**2, 8), nn.Tanh())  # no kinks
    along = swept(made, RAMP.T if axis == "y" else RAMP).sweep(axis, 161).curve
    inner = slice(16, -16)  # at the border an image ends, and is no ramp
    exact, across = along.derivatives[1:-1][inner], along.differences[inner]
    assert exact.abs().max() > 1e-3
    assert (exact - across).abs().mean() < 0.02 * exact.abs().max()
    assert along.agreement > 0.95


@pytest.mark.parametrize(("combine", "constant"), [("no-clue", True), ("clue", False)])
def test_the_clue_is_a_constant_for_autograd_alone(combine: str, constant: bool) -> None:
    along = swept(network(combine=combine), torch.full((24, 24), 100)).sweep("x", 41).curve
    assert along.derivatives[4:-4].abs().max() < 1e-6
    assert (along.losses[4:-4].std() < 1e-6) == constant


def test_at_the_chosen_value_the_loss_is_that_of_the_rollout(folder: Path) -> None:
    run = open_trained(folder, dataset=DATASET, device="cpu")
    made, settings = localising(run, folder)
    split, grid = DATASET["test"], settings.geometry.grid()
    look, index = look_of(ImagePool([split]), settings.geometry.retina(), made.device), torch.tensor([4])
    with torch.no_grad():
        walked = walk(made, look, index, grid, 3, mode="greedy")
        rollout = explore(made, look, index, grid, 3, mode="greedy")
    rollout = replace(rollout, auxiliary=made.auxiliary(walked.states[:, -1]))
    inputs = LossInputs(rollout, split.labels[index], torch.tensor([False]), settings.recipe.objective)
    for glimpse in (2, 3):
        image = SweptImage(
            *(made, look, settings.geometry, settings.recipe.objective, index, split.labels[index]),
            *(walked.locations[0], glimpse),
        )
        torch.testing.assert_close(
            image.losses(walked.locations[0, glimpse - 1 :][:1])[0], shaping_loss(inputs)
        )
        sweep = sweeps_of(made, settings, split, 4, glimpse=glimpse, count=5)["x"]
        s = float(walked.locations[0, glimpse - 1, 2]) / 16
        assert sweep.curve.values[[0, -1]].tolist() == pytest.approx([s - 1, 1 - s], abs=1e-5)
        assert s - 1 <= sweep.chosen <= 1 - s


def test_a_core_without_a_memory_is_swept_too() -> None:
    along = swept(network(core="gru"), RAMP).sweep("x", 5).curve
    assert along.losses.std() > 0 and along.derivatives.isfinite().all()


def test_losses_by_image_have_the_loss_of_the_batch_as_their_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    prior, logits, auxiliary = (
        torch.randn(*shape, generator=generator) for shape in ((4, 3), (4, 2, 3), (4, 2, 3))
    )
    empty = torch.zeros(4, 2)
    rollout = Rollout(torch.zeros(4, 2, 3), empty, prior, logits, empty, auxiliary=auxiliary)
    objective = Objective(loss_at="after", auxiliary=0.6)
    each = losses_by_image(rollout, torch.tensor([2]), objective)
    inputs = LossInputs(rollout, torch.full((4,), 2), torch.zeros(4, dtype=torch.bool), objective)
    assert each.shape == (4,) and each.std() > 0
    torch.testing.assert_close(each.mean(), shaping_loss(inputs))


def test_the_spread_of_gradients_that_are_known() -> None:
    gradients = torch.tensor([[2.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    found = Spread.of(gradients)
    assert (found.variance, found.squared_mean, found.relative) == (4.0, 4.0, 1.0)
    assert math.isnan(Spread.of(torch.tensor([[1.0], [-1.0]])).relative)


def test_gradients_of_batches_leave_the_network_as_it_is(folder: Path) -> None:
    run = open_trained(folder, dataset=DATASET, device="cpu")
    made, settings = localising(run, folder)
    before, draws = {name: value.clone() for name, value in made.state_dict().items()}, torch.get_rng_state()
    some = localiser_gradients(made, DATASET["train"], settings, 3)
    assert some.shape == (3, sum(each.numel() for each in made.policy_head.parameters()))
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    assert not made.training and torch.equal(torch.get_rng_state(), draws)
    assert torch.equal(some, localiser_gradients(made, DATASET["train"], settings, 3))
    assert not torch.equal(some, localiser_gradients(made, DATASET["train"], settings, 3, seed=1))
    whole = replace(settings, recipe=replace(settings.recipe, batch_size=48))  # all images, in another order
    alike = Spread.of(localiser_gradients(made, DATASET["train"], whole, 3))
    assert alike.relative < 1e-6 < Spread.of(some).relative


def test_an_inspection_is_the_mean_of_its_images(folder: Path, tmp_path: Path) -> None:
    found = inspect_run(folder, images=4, values=9, batches=2, image=7, dataset=DATASET, device="cpu")
    assert (found.images, found.values, found.image, found.encoder) == (4, 9, 7, "residual")
    assert all(0 <= found.sign_changes[axis] <= 8 and 0 <= found.agreement[axis] <= 1 for axis in AXES)
    one = inspect_run(folder, images=1, values=9, batches=2, dataset=DATASET, device="cpu")
    kept = {axis: float(sweep.curve.sign_changes) for axis, sweep in one.sweeps.items()}
    assert one.sign_changes == kept and one.gradient_variance == found.gradient_variance
    values = one.to_json()
    assert json.loads(json.dumps(values, allow_nan=False))["sweeps"]["s"]["differences"]
    drawn = draw_inspection(found, picture_file(tmp_path, found))
    assert drawn.name == "inspect-7-glimpse-2.png" and drawn.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"glimpse": 1}, "expected a glimpse from 2 to 3, found 1; change --glimpse"),
        ({"glimpse": 4}, "expected a glimpse from 2 to 3, found 4; change --glimpse"),
        ({"values": 2}, "expected at least 3 values, found 2; change --values"),
        ({"batches": 1}, "expected at least 2 batches, found 1; change --batches"),
        ({"seed": 2**31}, "expected a seed from 0 to 2147483647, found 2147483648"),
        ({"images": 31}, "expected 1 to 30 images, as many as there are, found 31"),
        ({"image": 99}, "expected a test image, of 0 to 29, found no image 99; choose another --image"),
    ],
)
def test_what_cannot_be_inspected_is_refused(chosen: dict[str, Any], words: str, folder: Path) -> None:
    with pytest.raises(SettingsError, match=words):
        inspect_run(folder, dataset=DATASET, device="cpu", **{"images": 1} | chosen)


def test_a_run_of_one_glimpse_has_none_to_move(tmp_path: Path) -> None:
    whole = train(DATASET, tmp_path / "run", method="multiglimpse", glimpses=1, magnification=1, **SHORT)
    with pytest.raises(SettingsError, match="expected a run of at least 2 glimpses, found 1"):
        inspect_run(whole, dataset=DATASET, device="cpu")


@pytest.mark.parametrize(
    ("name", "label", "words"),
    [("random", "random-0", ["--method", "random"]), ("fc", "fc-0", ["--baseline", "fc", "--hidden", "8"])],
)
def test_a_run_of_another_method_is_refused_in_one_line(
    name: str, label: str, words: list[str], digits: Path, tmp_path: Path
) -> None:
    run = trained(tmp_path, label, words)
    before = sorted(run.iterdir())
    for runs in ((run,), (digits, run)):  # before the first of them is inspected
        assert_refused(
            call("inspect", *runs), f"expected a run of --method multiglimpse, found one of {name}"
        )
    assert sorted(run.iterdir()) == before


def test_the_command_prints_a_table_or_one_object(digits: Path) -> None:
    few = ("--images", 2, "--values", 5, "--batches", 2, "--device", "cpu")
    done = call("inspect", digits, digits, *few)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("glimpse 2 of 2 test images, 5 values")
    assert [line.split()[:2] for line in lines[3:5]] == [["hardattn-multiglimpse-0", "residual"]] * 2
    assert len(list(digits.glob("inspect-*-glimpse-2.png"))) == 1
    told = json.loads(call("inspect", digits, "--json", *few).stdout)
    (run,) = told["runs"]
    assert set(run["sign_changes"]) == set(AXES) and len(run["sweeps"]["x"]["values"]) == 5
