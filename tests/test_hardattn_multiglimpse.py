"""The parts of MultiGlimpse in closed form: crops, clue, fusion, gradients, losses, schedule."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from data.errors import SettingsError
from data.geometry import Geometry, affine_crops
from hardattn.model.clues import Clue, affine_of, sinusoids
from hardattn.model.fusion import AttentionCore, Memory
from hardattn.model.localisers import GRADIENT, AffinePolicy, MapLocaliser, crop_of
from hardattn.model.network import HardAttention
from hardattn.model.registry import ENCODERS
from hardattn.model.residual_encoder import ResidualGlimpse
from hardattn.model.rollout import Rollout, Walk, explore, walk
from hardattn.objectives.losses import auxiliary
from hardattn.objectives.methods import Objective
from hardattn.objectives.registry import METHODS
from hardattn.objectives.terms import LossInputs, terms
from hardattn.stopping.flops import costs_of, mflops, mflops_by_part, sensor_mflops

CROPS = affine_crops(Geometry(24, 24, 1, glimpse_size=6), 3)
GRID = CROPS.grid()
POLICIES = ("affine", "affine-attention", "affine-map")


def network(seed: int = 0, **chosen: Any) -> HardAttention:
    torch.manual_seed(seed)
    parts = {"encoder": "residual", "combine": "clue", "core": "attention", "policy": "affine", "hidden": 8}
    return HardAttention(1, GRID, 3, 3, **parts | {"batch_norm": True} | chosen)


def images(count: int = 4) -> Tensor:
    return torch.randint(0, 256, (count, 24, 24, 1), generator=torch.Generator().manual_seed(1)).byte()


def look(index: Tensor, places: Tensor) -> Tensor:
    return CROPS.retina()(images(), index, places)


def walked(made: HardAttention, steps: int = 3) -> Walk:
    return walk(made, look, torch.arange(4), GRID, steps, mode="greedy")


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_a_crop_lies_inside_the_image_as_wide_as_said(u: list[float]) -> None:
    row, col, side = crop_of(torch.tensor(u, dtype=torch.float64), 60).tolist()
    assert min(row, col) >= -1e-9 and max(row, col) + side <= 60 + 1e-9
    assert side == pytest.approx(60 * (0.2 + 0.3 * u[0]))
    s, x, y = affine_of(CROPS.centres(torch.tensor([row, col, side]) * 24 / 60), GRID).tolist()
    assert (x, y) == pytest.approx([2 * (v - 0.5) * (1 - s) for v in u[1:]], abs=1e-5)


def test_the_gradient_that_reaches_the_localiser_is_scaled_by_exactly_a_fiftieth() -> None:
    policy = network().policy_head
    assert isinstance(policy, AffinePolicy)
    features = torch.rand(4, 11)
    places = policy.act(features, "greedy").places
    weights = torch.rand(places.shape)
    (scaled,) = torch.autograd.grad((weights * places).sum(), policy.linear.weight)
    plain = crop_of(policy(features).sigmoid(), 24)
    (whole,) = torch.autograd.grad((weights * plain).sum(), policy.linear.weight)
    torch.testing.assert_close(scaled, 0.02 * whole)
    assert GRADIENT == 0.02 and torch.equal(places, plain)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_loss_reaches_every_part_of_every_localiser(policy: str) -> None:
    made = network(policy=policy)
    rollout = explore(made, look, torch.arange(4), GRID, 3, mode="sample")
    assert rollout.log_prob[:, 1:].isnan().all() and rollout.locations[:, 0].tolist() == [[0, 0, 24]] * 4
    cross_entropy(rollout.logits[:, -1], torch.tensor([0, 1, 2, 0])).backward()
    weights = dict(made.policy_head.named_parameters())
    still = [name for name, each in weights.items() if each.grad is None or not each.grad.abs().sum() > 0]
    assert not still


def test_the_clue_is_the_place_and_has_no_gradient() -> None:
    combine = Clue(2, grid=GRID, coordinates=3)
    places = torch.tensor([[6.0, 3.0, 12.0]], requires_grad=True)
    result = combine(torch.zeros(1, 2), CROPS.centres(places))
    assert combine.width == 5 and not result.requires_grad
    assert result[0].tolist() == pytest.approx([0, 0, 0.5, -0.25, 0])
    assert affine_of(CROPS.centres(torch.tensor([0, 0, 24])), GRID).tolist() == [1, 0, 0]


def test_without_the_clue_a_network_is_not_told_the_place() -> None:
    seen, centres = torch.rand(2, 1, 8, 8), CROPS.centres(torch.tensor([[0.0, 3.0, 12.0], [9.0, 2.0, 6.0]]))
    for combine, told in (("clue", True), ("spatial-clue", True), ("no-clue", False)):
        made = network(combine=combine).eval()
        features = [made.features(seen, where) for where in (centres, centres.flip(0))]
        assert torch.equal(*features) is not told


def test_sinusoids_of_neighbours_are_a_rotation_apart() -> None:
    codes = sinusoids(torch.tensor([[0.0, 5.0], [3.0, 5.0], [40.0, 5.0], [43.0, 5.0]]))
    near, far = codes[0] @ codes[1], codes[2] @ codes[3]
    torch.testing.assert_close(near, far)
    torch.testing.assert_close(codes.square().sum(1), torch.full((4,), 16.0))


def test_the_fusion_is_attention_by_hand() -> None:
    torch.manual_seed(0)
    core = AttentionCore(4, glimpses=3).eval()
    features, state = torch.rand(2, 2, 4), core.initial(2)
    for seen in features.unbind(1):
        state = core(seen, state)
    weight, bias = core.attention.in_proj_weight, core.attention.in_proj_bias
    query, key, value = (features @ w.T + b for w, b in zip(weight.split(4), bias.split(4), strict=True))
    shares = (query[:, -1:] @ key.transpose(1, 2) / 2).softmax(-1)
    wanted = core.norm(core.attention.out_proj(shares @ value)[:, 0]).relu()
    torch.testing.assert_close(core.output(state), wanted)
    assert core.memory.seen(state).tolist() == [[True, True, False]] * 2
    assert torch.equal(core.memory.features(state)[:, :2], features)


def test_the_first_fusion_is_of_the_first_glimpse_alone() -> None:
    core = AttentionCore(4, glimpses=3).eval()
    feature = torch.rand(2, 4)
    value = feature @ core.attention.in_proj_weight[8:].T
    wanted = core.norm(core.attention.out_proj(value)).relu()
    torch.testing.assert_close(core.output(core(feature, core.initial(2))), wanted)


def test_a_memory_forgets_the_first_of_too_many() -> None:
    memory = Memory(2, 1, carried=1)
    state = torch.zeros(1, memory.size)
    for number in range(1, 4):
        state = memory.taken(state, torch.tensor([[float(number), 10.0 * number]]))
    assert memory.features(state).flatten().tolist() == [3, 2] and memory.last(state).item() == 30


def test_a_state_of_a_policy_on_the_map_carries_the_last_map() -> None:
    made = network(policy="affine-map").eval()
    states, places = (each.detach() for each in (walked(made).states, walked(made).locations))
    maps = made.what.maps(look(torch.arange(4), places)[:, -1])
    assert isinstance(made.policy_head, MapLocaliser) and made.memory is not None
    torch.testing.assert_close(made.memory.last(states[:, -1]), maps.flatten(1).detach())
    torch.testing.assert_close(made.memory.features(states[:, -1])[:, -1, :8], maps.mean((2, 3)).detach())


@pytest.mark.parametrize("policy", POLICIES)
def test_states_do_not_depend_on_the_images_beside(policy: str) -> None:
    made = network(policy=policy, batch_norm=False).eval()
    together = walked(made)
    alone = walk(made, look, torch.tensor([2]), GRID, 3, mode="greedy")
    torch.testing.assert_close(alone.states[0], together.states[2], atol=1e-5, rtol=1e-5)


def test_the_auxiliary_classifier_reads_each_glimpse_alone() -> None:
    made = network()
    rollout = explore(made, look, torch.arange(4), GRID, 3, mode="sample")
    assert rollout.auxiliary is not None and made.auxiliary_head is not None
    states = walked(made.eval()).states
    made.what.eval()
    raw = made.what(look(torch.arange(4), walked(made).locations).flatten(0, 1)).unflatten(0, (4, 3))
    wanted = made.auxiliary_head(raw)
    torch.testing.assert_close(made.auxiliary(states[:, -1]), wanted)
    assert explore(made, look, torch.arange(4), GRID, 3, mode="greedy").auxiliary is None


def made_up(steps: int) -> Rollout:
    torch.manual_seed(0)
    said = {"gain": torch.zeros(2, steps), "accuracy_gain": torch.zeros(2, steps)}
    costs = {name: torch.full((2, steps, 8), 0.5) for name in ("act", "stochastic")}
    return Rollout(
        torch.zeros(2, steps, 3),
        torch.zeros(2, steps),
        prior=torch.randn(2, 3),
        logits=torch.randn(2, steps, 3),
        baseline=torch.zeros(2, steps),
        said=said | costs,
        auxiliary=torch.randn(2, steps, 3),
    )


def test_the_loss_is_that_of_the_paper() -> None:
    rollout, labels = made_up(3), torch.tensor([2, 0])
    fused = [cross_entropy(rollout.logits[:, t], labels) for t in range(3)]
    assert rollout.auxiliary is not None
    alone = [cross_entropy(rollout.auxiliary[:, t], labels) for t in (1, 2)]
    inputs = LossInputs(rollout, labels, torch.zeros(2, dtype=torch.bool), Objective("after", auxiliary=0.6))
    found = terms(METHODS["multiglimpse"], inputs)
    torch.testing.assert_close(found["classification"], 0.4 * sum(fused) / 3)
    torch.testing.assert_close(found["auxiliary"], 0.6 * sum(alone) / 2)


def test_of_one_glimpse_the_loss_is_the_cross_entropy() -> None:
    rollout, labels = made_up(1), torch.tensor([2, 0])
    inputs = LossInputs(rollout, labels, torch.zeros(2, dtype=torch.bool), Objective("after", auxiliary=0.6))
    found = terms(METHODS["multiglimpse"], inputs)
    torch.testing.assert_close(found["classification"], cross_entropy(rollout.logits[:, 0], labels))
    assert found["auxiliary"] == 0 == auxiliary(rollout, labels)


def test_a_frozen_encoder_does_not_move_nor_do_its_statistics() -> None:
    made = network(frozen=True).train()
    before = {name: value.clone() for name, value in made.what.state_dict().items()}
    explore(made, look, torch.arange(4), GRID, 3, mode="sample").logits.sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in made.what.state_dict().items())
    assert all(weights.grad is None for weights in made.what.parameters())
    assert made.class_head.weight.grad is not None and made.training


def test_group_norm_takes_the_place_of_batch_norm() -> None:
    kinds = {type(each) for each in ResidualGlimpse(1, 9, 8).modules()}
    assert nn.GroupNorm in kinds and nn.BatchNorm2d not in kinds
    kinds = {type(each) for each in ResidualGlimpse(1, 9, 8, batch_norm=True).modules()}
    assert nn.BatchNorm2d in kinds and nn.GroupNorm not in kinds


@pytest.mark.parametrize(("image", "channels"), [(28, 1), (60, 1), (100, 1), (128, 3)])
def test_an_encoder_of_whole_images_serves_crops_of_them(image: int, channels: int) -> None:
    """The comparator's, with which pretrained rows begin: as deep for a crop 2.33 times as small."""
    whole, crop = (ResidualGlimpse(channels, side, 8).state_dict() for side in (image, int(image / 2.33)))
    assert {name: value.shape for name, value in whole.items()} == {
        name: value.shape for name, value in crop.items()
    }


@pytest.mark.parametrize("size", [2, 8, 25, 96, 113])
def test_the_map_has_the_shape_that_is_said(size: int) -> None:
    encoder = ResidualGlimpse(3, size, 12)
    assert encoder.maps(torch.zeros(1, 3, size, size)).shape[1:] == encoder.map_shape
    assert encoder(torch.zeros(1, 3, size, size)).shape == (1, 12)


def test_interpolation_is_counted() -> None:
    points, values = 8 * 8, 3 * 8 * 8
    assert sensor_mflops((3, 8, 8)) == pytest.approx((2 * 3 * 2 * points + 8 * values) / 1e6)
    made = network().eval()
    parts, costs = mflops_by_part(made, CROPS.glimpse_shape()), costs_of(made, CROPS.glimpse_shape())
    assert costs.look == pytest.approx(parts["sensor"] + parts["policy"] + parts["glimpse and core"])
    assert parts["sensor"] == sensor_mflops((1, 8, 8)) and parts["policy"] == pytest.approx(2 * 3 * 11 / 1e6)
    assert mflops(made.what, torch.zeros(2, 1, 8, 8)) < parts["glimpse and core"] * 2


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (
            {"policy": "affine-map", "core": "gru"},
            "--core attention or mean with --policy affine-map, found gru",
        ),
        (
            {"policy": "affine-attention", "core": "rnn"},
            "--core attention or mean with --policy affine-attention",
        ),
        ({"policy": "affine-map", "encoder": "conv"}, "--encoder residual or resnet18 with --policy"),
        ({"policy": "affine-map", "dropout": 0.1}, "no --dropout with --policy affine-map, found 0.1"),
        ({"encoder": "resnet18"}, "--hidden 512 with --encoder resnet18, found 8"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=f"expected {words}"):
        network(**chosen)


def test_a_missing_torchvision_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(SettingsError, match=r"pip install 'boed-hardattn\[vision\]'"):
        ENCODERS["resnet18"](3, 96, 512)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A torchvision whose ResNet-18 has its shape: five halvings, 512 channels, average and classifier."""

    class Network(nn.Sequential):
        def __init__(self, norm_layer: Any = None) -> None:
            super().__init__()
            self.norm, sizes = norm_layer or nn.BatchNorm2d, (64, 64, 128, 256, 512)
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            for number, (before, after) in enumerate(zip(sizes, sizes[1:], strict=False)):
                self.add_module(f"layer{number}", nn.Conv2d(before, after, 3, 2, 1))
            self.bn1, self.avgpool, self.fc = self.norm(512), nn.AdaptiveAvgPool2d(1), nn.Linear(512, 1000)

    fake: Any = ModuleType("torchvision.models")
    fake.resnet18 = lambda weights, norm_layer: Network(norm_layer)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", fake)
    yield


@pytest.mark.parametrize("channels", [1, 3])
def test_resnet18_is_taken_without_its_last_layers(channels: int, stand_in: None) -> None:
    encoder = ENCODERS["resnet18"](channels, 70, 512)
    assert encoder.maps(torch.zeros(1, channels, 70, 70)).shape[1:] == encoder.map_shape == (512, 3, 3)
    assert not [each for each in encoder.modules() if isinstance(each, nn.Linear)]
