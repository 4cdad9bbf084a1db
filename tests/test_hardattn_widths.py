"""Networks that look at squares of several sides: policies, variations, rewards, whole runs."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from hardattn_tiny import GEOMETRY, interrupted_after, tiny_dataset, tiny_split
from torch import Tensor, nn

import hardattn
from data.errors import SettingsError, StoreError
from data.geometry import Geometry
from data.places import is_whole, mirrored, whole_image
from data.pool import ImagePool
from data.sequences import Sequences
from data.tensors import load_tensors
from hardattn.cli.main import main
from hardattn.evaluation import evaluate
from hardattn.model.encoders import LocationEmbedding
from hardattn.model.locations import Categorical
from hardattn.model.network import HardAttention
from hardattn.model.policies import CategoricalPolicy, ProductPolicy
from hardattn.model.registry import COMBINATIONS
from hardattn.model.rollout import Mode, blind_places, explore, follow
from hardattn.objectives.rewards import box, reachable
from hardattn.recording import record
from hardattn.runs import train
from hardattn.stopping.flops import mflops_per_glimpse
from hardattn.training import checkpoint
from hardattn.training.augment import Variation, mirrored_on_grid
from hardattn.training.budget import Budget
from hardattn.training.guidance import box_maps, require_reachable, supervision_settings
from hardattn.training.recipe import Recipe
from supervision.store import SequenceStore

DATASET, SPLIT = tiny_dataset(), tiny_split(8, 0)
WIDE = replace(GEOMETRY, sides=(4, 8, 16))
GRID, LOOK = WIDE.grid(), partial(ImagePool([SPLIT]).glimpses, WIDE.retina())
EVERY = torch.arange(8)
SHORT: dict[str, Any] = {
    "recipe": Recipe(batch_size=16, hidden=16),
    "budget": Budget(epochs=2),  # 6 iterations
    "device": "cpu",
}


def network(**chosen: Any) -> HardAttention:
    torch.manual_seed(0)
    return HardAttention(1, GRID, classes=2, hidden=16, **chosen)


def wide_store(path: Path, geometry: Geometry = WIDE) -> SequenceStore:
    """The whole image, a square that is half as wide, and a plain glimpse in it."""
    split = DATASET["design"]
    facts = {
        "dataset": "tiny",
        "target": "label",
        "fingerprint": split.fingerprint,
        "geometry": geometry.to_json(),
    }
    store = SequenceStore.write_to(path, facts, split.ids, 3, GRID.locations)
    places = torch.tensor([[0, 0, 16], [2, 5, 8], [4, 8, 4]]).expand(len(split), -1, -1)
    zeros = torch.zeros(len(split), 4)
    store.write(
        torch.arange(len(split)), Sequences(places, zeros[:, 1:], zeros, torch.rand(len(split), 3, len(GRID)))
    )
    return store


@pytest.mark.parametrize("size", [(16, 16), (16, 24)])
def test_a_product_is_a_distribution_in_which_a_side_is_one_logit_more(size: tuple[int, int]) -> None:
    geometry = Geometry(*size, 1, glimpse_size=4, per_axis=4, sides=(4, 8, max(size)))
    grid, state = geometry.grid(), torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    policy = ProductPolicy(6, grid)
    found = policy(state)
    assert isinstance(found, Categorical) and found.log_probs.shape == (5, len(grid))
    torch.testing.assert_close(found.log_probs.exp().sum(1), torch.ones(5))
    rows, cols, sides = policy.linear(state).split(policy.sizes, 1)
    logits = torch.stack([_logit(place, grid.parts[0], geometry.sides, rows, cols, sides)
                          for place in grid.locations.tolist()], 1)  # fmt: skip
    torch.testing.assert_close(found.log_probs, logits.log_softmax(1))


def _logit(place: list[int], plain: Any, every: Any, rows: Tensor, cols: Tensor, sides: Tensor) -> Tensor:
    """(B,) by hand: the plain row and column with the nearest centres, and the side."""
    row, col, side = place

    def near(axis: tuple[int, ...], first: int) -> int:
        return min(range(len(axis)), key=lambda at: abs(axis[at] + 4 / 2 - (first + side / 2)))

    return rows[:, near(plain.rows, row)] + cols[:, near(plain.cols, col)] + sides[:, every.index(side)]


def test_of_one_side_policies_and_embeddings_are_as_ever_to_the_bit() -> None:
    plain, state = GEOMETRY.grid(), torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(3)
    policy = ProductPolicy(8, plain)
    torch.manual_seed(3)
    linear = nn.Linear(8, 4 + 4)
    assert set(policy.state_dict()) == {"linear.weight", "linear.bias"}
    rows, cols = linear(state).split((4, 4), dim=1)
    expected = (rows[:, :, None] + cols[:, None]).flatten(1).log_softmax(1)
    found = policy(state)
    assert isinstance(found, Categorical) and torch.equal(found.log_probs, expected)
    for log_probs in (expected, found.log_probs):
        (log_probs * torch.arange(16)).sum().backward()
    assert linear.weight.grad is not None and policy.linear.weight.grad is not None
    assert torch.equal(policy.linear.weight.grad, linear.weight.grad)
    torch.manual_seed(3)
    where = LocationEmbedding(8)
    torch.manual_seed(3)
    assert torch.equal(where.linear.weight, nn.Linear(2 + 4 * 3, 8).weight)


@pytest.mark.parametrize("combine", ["modulate", "add", "concat", "plain"])
def test_a_network_knows_how_wide_a_glimpse_was(combine: str) -> None:
    glimpses, made = torch.rand(2, 1, 4, 4), network(combine=combine).eval()
    narrow, wide = torch.tensor([[0.1, 0.2, 0.0]] * 2), torch.tensor([[0.1, 0.2, 0.5]] * 2)
    apart = made.features(glimpses, narrow) - made.features(glimpses, wide)
    assert made.coordinates == 3 and apart.abs().amax(1).min() > 1e-3
    assert mflops_per_glimpse(made, WIDE.glimpse_shape()) > 0


@pytest.mark.parametrize("policy", ["categorical", "product", "epe"])
@pytest.mark.parametrize("mode", ["sample", "greedy"])
def test_following_is_exploring(policy: str, mode: Mode) -> None:
    made = network(policy=policy).eval()
    seen = explore(made, LOOK, EVERY, GRID, 4, mode=mode, generator=torch.Generator().manual_seed(0))
    assert bool(GRID.find(seen.locations)[1].all())
    again = follow(made, LOOK, EVERY, seen.locations, GRID)
    torch.testing.assert_close(again.logits, seen.logits)
    torch.testing.assert_close(again.log_prob, seen.log_prob)


def test_a_drawn_place_may_be_of_any_side_and_the_centre_is_a_plain_glimpse() -> None:
    drawn = CategoricalPolicy(4, GRID).act(torch.zeros(500, 4), "sample", torch.Generator().manual_seed(0))
    assert drawn.places[:, 2].unique().tolist() == [4, 8, 16]
    centre = blind_places(2, GRID, 1, "centre", torch.device("cpu"), None)
    plain = blind_places(2, GEOMETRY.grid(), 1, "centre", torch.device("cpu"), None)
    assert torch.equal(centre, plain) and centre[0, 0, 2] == 4


@pytest.mark.parametrize("size", [(16, 16), (12, 16), (16, 12)])
def test_places_of_the_grid_mirror_to_the_nearest_of_their_side(size: tuple[int, int]) -> None:
    grid = Geometry(*size, 1, glimpse_size=4, per_axis=4, sides=(4, 8, 16)).grid()
    found, exact = mirrored_on_grid(grid.locations, grid), mirrored(grid.locations, grid)
    assert torch.equal(found[:, [0, 2]], exact[:, [0, 2]]) and bool(grid.find(found)[1].all())
    for place, other in zip(exact, found, strict=True):
        same = grid.locations[(grid.locations[:, [0, 2]] == place[[0, 2]]).all(1)]
        assert (other[1] - place[1]).abs() == (same[:, 1] - place[1]).abs().min()


def test_a_mirrored_glimpse_is_the_glimpse_of_the_mirrored_image() -> None:
    generator = torch.Generator().manual_seed(0)
    varied = Variation.draw(8, WIDE, mirror=True, tone=0.0, jitter=0, generator=generator)
    assert 0 < varied.flipped.sum() < 8
    places = GRID.locations[torch.randint(len(GRID), (8, 12), generator=generator)]
    whole = torch.where(varied.flipped[:, None, None, None], SPLIT.images.flip(2), SPLIT.images)
    seen = varied.look(LOOK, GRID)(EVERY, places)
    torch.testing.assert_close(seen, WIDE.retina()(whole, EVERY, places))


def test_a_square_is_shifted_by_a_share_of_its_side_and_the_whole_image_never() -> None:
    taken = list[Tensor]()

    def look(_index: Tensor, places: Tensor) -> Tensor:
        taken.append(places)
        return torch.zeros(len(places), 3, 1, 4, 4)

    places = torch.tensor([[5, 5, 4], [4, 4, 8], [0, 0, 16]]).expand(300, -1, -1)
    varied = Variation.draw(
        300, WIDE, mirror=False, tone=0.0, jitter=2, generator=torch.Generator().manual_seed(0)
    )
    varied.look(look, GRID)(torch.arange(300), places)
    moved = (taken[0] - places)[..., :2]
    assert [moved[:, at].unique().tolist() for at in range(3)] == [
        [-2, -1, 0, 1, 2],
        [-4, -2, 0, 2, 4],
        [0],
    ]


def test_a_square_is_at_no_distance_exactly_where_it_touches_the_box() -> None:
    made = network().eval()
    corner, extent = torch.tensor([[9, 2]]), torch.tensor([[3, 4]])
    boxes = reachable(torch.cat([corner, corner + extent], 1), WIDE).expand(len(GRID), -1)
    seen = follow(made, LOOK, torch.zeros(len(GRID), dtype=torch.int64), GRID.locations[:, None], GRID)
    found = box(seen, torch.zeros(len(GRID)), boxes)[:, 0]
    first, last = GRID.locations[:, :2], GRID.locations[:, :2] + GRID.locations[:, 2:]
    touches = ((first < corner + extent) & (last > corner)).all(1)
    assert torch.equal(found == 0, touches) and 0 < touches.sum() < len(GRID)
    nearest = torch.stack([corner - last + 1, first - corner - extent + 1]).clamp(min=0).amax((0, 2))
    torch.testing.assert_close(found, -nearest / 16)


def test_the_map_of_a_box_is_0_where_the_square_is_the_box_alone() -> None:
    maps = box_maps(torch.tensor([[2, 5, 10, 13]]), WIDE, 2)
    assert maps.values.shape == (1, 2, len(GRID)) and maps.values.min() == 0
    assert maps.places[maps.values[0, 0].argmin()].tolist() == [2, 5, 8]
    assert (maps.values[0, 0] == 0).sum() == 1 and (maps.values <= 1).all()
    assert maps.values[0, 0, -1].item() == pytest.approx(1 - 64 / 256)  # the whole image


def test_the_whole_image_may_be_imitated_where_it_is_a_place() -> None:
    places = torch.tensor([[[4, 4, 4], [0, 0, 16]]])
    require_reachable(places, WIDE, "categorical")
    with pytest.raises(SettingsError, match="first glance exactly where the task has one, found one"):
        require_reachable(places, GEOMETRY, "categorical")
    with pytest.raises(SettingsError, match="first glance exactly where the task has one, found none"):
        require_reachable(places, replace(WIDE, first_glance=True), "categorical")
    with pytest.raises(SettingsError, match="side 8 on the .* grid, found .3, 4, 8.; use sequences made for"):
        require_reachable(torch.tensor([[[3, 4, 8]]]), WIDE, "categorical")


def test_what_is_imitated_is_told_apart_by_its_sides(tmp_path: Path) -> None:
    store, split = wide_store(tmp_path / "s.h5"), DATASET["design"]
    places = store.load().locations
    narrower = places.clone()
    narrower[:, 1, 2] = 4
    one, other = (supervision_settings(store, (split, each), WIDE) for each in (places, narrower))
    assert one is not None and other is not None and one.checksum != other.checksum


def weights(folder: Path) -> Mapping[str, Tensor]:
    return load_tensors(folder / checkpoint.LAST, checkpoint.COMMAND)[0]


@pytest.mark.parametrize(
    ("method", "policy"),
    [("ps-nogs", "categorical"), ("ps-nogs", "product"), ("saliency", "categorical"),
     ("ram", "product"), ("epe-head", "epe"), ("random", "categorical")],
)  # fmt: skip
def test_a_run_of_each_method(tmp_path: Path, method: str, policy: str) -> None:
    supervised = method in ("ps-nogs", "saliency")
    store = wide_store(tmp_path / "s.h5") if supervised else None
    recipe = replace(SHORT["recipe"], policy=policy)
    options = {**SHORT, "store": store, "method": method, "recipe": recipe}
    folder = train(DATASET, tmp_path / "run", geometry=None if store else WIDE, **options)
    settings = checkpoint.read_json(folder / checkpoint.RUN)["settings"]
    assert settings["geometry"]["sides"] == [4, 8, 16]
    fixed = {
        point.threshold: point for point in evaluate(folder, dataset=DATASET).curve if point.rule == "fixed"
    }
    assert [fixed[t].values_read for t in (1, 2, 3)] == [16, 32, 48]
    answers = hardattn.load(folder, device="cpu").predict(DATASET["test"].images)
    squares = torch.from_numpy(answers.places)[..., 2].double().square().sum(1)
    assert answers.read["pixels_read"].tolist() == squares.tolist()
    assert fixed[3].pixels_read == pytest.approx(squares.mean().item())
    if method != "random":
        found = record(folder, dataset=DATASET, images="4", device="cpu")
        assert found.geometry == WIDE and bool(GRID.find(found.load().locations)[1].all())


def test_a_run_taken_up_is_one_that_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 2)
    store = wide_store(tmp_path / "s.h5")
    options = {**SHORT, "recipe": replace(SHORT["recipe"], policy="product")}
    whole = train(DATASET, tmp_path / "whole", store=store, **options)
    with interrupted_after(3, monkeypatch):
        train(DATASET, tmp_path / "cut", store=store, **options)
    cut = train(DATASET, tmp_path / "cut", store=store, **options)
    assert all(torch.equal(value, weights(cut)[name]) for name, value in weights(whole).items())


def test_a_first_glance_goes_with_sides(tmp_path: Path) -> None:
    geometry = replace(WIDE, first_glance=True)
    folder = train(DATASET, tmp_path / "run", store=wide_store(tmp_path / "s.h5", geometry), **SHORT)
    found = record(folder, dataset=DATASET, images="4", device="cpu").load().locations
    assert is_whole(found, geometry).tolist() == [[True, False, False]] * 4
    assert torch.equal(found[:, 0], whole_image(geometry.image_size).expand(4, 3))


def test_what_knows_one_side_alone_is_refused(tmp_path: Path) -> None:
    for recipe, words in (
        (
            {"policy": "gaussian"},
            "--policy categorical or product or epe or .* with several --sides, found gaussian",
        ),
        ({"policy": "mixture"}, "with several --sides, found mixture"),
    ):
        options = {**SHORT, "recipe": Recipe(batch_size=16, **recipe)}
        with pytest.raises(SettingsError, match=words):
            train(DATASET, tmp_path / "run", geometry=WIDE, **options)
    with pytest.raises(StoreError, match="geometry = .*found"):
        train(DATASET, tmp_path / "run", store=wide_store(tmp_path / "s.h5"), geometry=GEOMETRY, **SHORT)
    assert not (tmp_path / "run").exists()


def test_a_combination_that_knows_no_width_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(features: int) -> nn.Module:
        made: nn.Module = COMBINATIONS["add"](features)
        return made

    monkeypatch.setitem(COMBINATIONS._known, "blind", blind)
    with pytest.raises(
        SettingsError, match="--combine modulate or add or concat or .* with several --sides, found"
    ):
        train(DATASET, tmp_path / "run", geometry=WIDE, recipe=Recipe(combine="blind"), device="cpu")


def test_by_the_command_line(tmp_path: Path) -> None:
    words = ["train", "--run", str(tmp_path), "--epochs", "0.01", "--device", "cpu", "--sides", "8,16,40"]
    done = CliRunner().invoke(main, [*words, "--glimpses", "2"])
    assert done.exit_code == 0, done.output
    run = checkpoint.read_json(tmp_path / "hardattn-ram-0" / checkpoint.RUN)
    assert run["settings"]["geometry"]["sides"] == [8, 16, 40]
    refused = CliRunner().invoke(main, [*words, "--baseline", "fc"])
    assert_refused(refused, "expected no --sides with --baseline")
    refused = CliRunner().invoke(main, [*words, "--policy", "gaussian"])
    assert_refused(refused, "found gaussian; take one or leave --sides out")
    table = CliRunner().invoke(main, ["evaluate", str(tmp_path / "hardattn-ram-0"), "--device", "cpu"])
    assert "values read" in table.stdout and "pixels read" in table.stdout
