"""The AVP-CNN: what is pasted, what the network makes of it, and torchvision's backbones."""

import copy
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import pyro
import pytest
import torch
from boed_tiny import FINE, GEOMETRY, PLACES, POINTER, pointer_split
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, pad

from boed.avp_cnn import AvpCnnPosterior, overlap
from boed.backbones import BACKBONES, TORCHVISION, make_backbone
from boed.posterior import negative_log_posterior
from data.errors import SettingsError
from data.geometry import Geometry
from data.grid import normalise

COLOUR = Geometry(24, 24, 3, glimpse_size=8)
WIDE = Geometry(20, 36, 1, glimpse_size=6)
INSIDE = [[0, 0], [3, 9], [16, 16]]  # do not overlap in COLOUR
OUTSIDE = [[-3, 5], [20, 20], [10, -8], [40, 0]]


def centres_of(locations: Tensor, geometry: Geometry) -> Tensor:
    return normalise(locations, geometry.glimpse_size, (geometry.height, geometry.width))


def posterior(geometry: Geometry = COLOUR, resolution: int = 24, **options: Any) -> AvpCnnPosterior:
    torch.manual_seed(0)
    q = AvpCnnPosterior(geometry, 4, 5, resolution=resolution, width=8, **options)
    return q.eval()


def look(geometry: Geometry, locations: list[list[int]], count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Images (B, C, H, W) in [0, 1], their glimpses and the centres of these."""
    generator = torch.Generator().manual_seed(1)
    shape = (count, geometry.height, geometry.width, geometry.channels)
    images = torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator)
    places = torch.tensor(locations).expand(count, -1, -1)
    glimpses = geometry.retina()(images, torch.arange(count), places)
    return images.permute(0, 3, 1, 2).float() / 255, glimpses, centres_of(places, geometry)


def seen(geometry: Geometry, locations: list[list[int]]) -> Tensor:
    """(1, H, W) ones where the finest patch of any glimpse lies."""
    rows, cols = torch.arange(geometry.height)[:, None], torch.arange(geometry.width)
    mask = torch.zeros(geometry.height, geometry.width)
    for row, col in locations:
        high = (rows >= row) & (rows < row + geometry.glimpse_size)
        mask[high & (cols >= col) & (cols < col + geometry.glimpse_size)] = 1
    return mask[None]


def shrink(images: Tensor, side: int) -> Tensor:
    """Average over area: every pixel is made side x side, then H x W of these are averaged."""
    height, width = images.shape[-2:]
    large = images.repeat_interleave(side, -2).repeat_interleave(side, -1)
    return avg_pool2d(large, (height, width))


@pytest.mark.parametrize("locations", [INSIDE, OUTSIDE, [[5, 5], [7, 3], [5, 5]]])
def test_at_the_size_of_the_image_what_is_seen_is_the_image_under_a_mask(locations: list[list[int]]) -> None:
    """Also over the border and where glimpses overlap."""
    q, (images, y, centres) = posterior(), look(COLOUR, locations)
    pixels, mask = q.masked_image(q.embed(y, centres).sum(1))
    expected = seen(COLOUR, locations)
    assert torch.equal(mask[:, 0], expected.expand(2, -1, -1, -1))
    assert torch.allclose(pixels[:, 0], images * expected, atol=1e-6)
    single, _ = q.masked_image(q.embed(y[:, 0], centres[:, 0]))
    assert torch.equal(single[:, 0], images * seen(COLOUR, locations[:1]))  # to the bit


@pytest.mark.parametrize(
    ("geometry", "side"), [(COLOUR, 12), (COLOUR, 16), (COLOUR, 40), (WIDE, 10), (WIDE, 20), (WIDE, 36)]
)
@pytest.mark.parametrize("location", [*INSIDE, *OUTSIDE])
def test_any_resolution_is_an_average_over_area(geometry: Geometry, side: int, location: list[int]) -> None:
    q, (images, y, centres) = posterior(geometry, side), look(geometry, [location])
    total = q.embed(y[:, 0], centres[:, 0])
    mask = seen(geometry, [location])
    covered = shrink(mask, side)
    assert torch.allclose(q.masked_image(total)[1][:, 0], covered.expand(2, -1, -1, -1), atol=1e-6)
    pasted = total.view(2, geometry.channels + 1, side, side)[:, :-1]
    assert torch.allclose(pasted, shrink(images * mask, side), atol=1e-5)
    values = q.masked_image(total)[0][:, 0]
    assert torch.allclose(values * covered, pasted, atol=1e-6)
    assert (values[:, :, covered[0] == 0] == 0).all()


def test_half_resolution_of_aligned_glimpses_is_the_pooled_masked_image() -> None:
    q, (images, y, centres) = posterior(resolution=12), look(COLOUR, [[2, 4], [4, 8], [16, 0]])
    pixels, mask = q.masked_image(q.embed(y, centres).sum(1))
    expected = seen(COLOUR, [[2, 4], [4, 8], [16, 0]])
    assert torch.equal(mask[:, 0], avg_pool2d(expected, 2).expand(2, -1, -1, -1))
    assert torch.allclose(pixels[:, 0], avg_pool2d(images * expected, 2), atol=1e-6)


@pytest.mark.parametrize("location", [[8, 8], [3, 6], [-2, 15]])
def test_every_scale_has_a_canvas_with_its_patch_around_the_same_centre(location: list[int]) -> None:
    geometry = Geometry(24, 24, 2, glimpse_size=4, scales=3)
    q, (_, y, centres) = posterior(geometry), look(geometry, [location])
    pixels, mask = q.masked_image(q.embed(y[:, 0], centres[:, 0]))
    for scale, patch in enumerate(y[:, 0].unflatten(1, (3, 2)).unbind(1)):
        factor = 2**scale
        margin = 30  # of the plane on which the patch is laid, and from which the image is cut out
        row, col = (margin + at - (factor - 1) * 2 for at in location)
        large = patch.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
        sides = (col, 24 + 2 * margin - col - 4 * factor, row, 24 + 2 * margin - row - 4 * factor)
        plane = pad(torch.cat([large, torch.ones(2, 1, 4 * factor, 4 * factor)], 1), sides)
        expected = plane[..., margin:-margin, margin:-margin]
        assert torch.allclose(pixels[:, scale], expected[:, :-1])
        assert torch.equal(mask[:, scale], expected[:, -1:])


def test_no_rounding_covers_what_was_not_seen() -> None:
    for extent, side in [(60, 32), (224, 50), (31, 64)]:
        for start in range(-20, extent + 5):
            rows = overlap(torch.tensor(start), torch.tensor(1), 16, extent, side)
            inside = max(0, min(extent, start + 16) - max(0, start))
            assert rows.sum() == inside * side
            assert rows.max() <= extent


def test_logits_are_those_of_the_masked_image() -> None:
    q, (images, y, centres) = posterior(), look(COLOUR, INSIDE)
    mask = seen(COLOUR, INSIDE).expand(2, -1, -1, -1)
    direct = torch.cat([images * mask, mask], 1).flatten(1)
    expected = q.logits(direct, 3)
    assert torch.allclose(q.logits(q.embed(y, centres).sum(1), 3), expected, atol=1e-5)
    again = torch.cat([y, y[:, :1]], 1), torch.cat([centres, centres[:, :1]], 1)
    assert torch.allclose(q.logits(q.embed(*again).sum(1), 3), expected, atol=1e-5)  # seen twice, there once
    moved = q.embed(y, centres.roll(1, 1)).sum(1)
    assert (q.logits(moved, 3) - expected).abs().max() > 1e-3  # what is seen where does


def test_the_network_sees_nothing_but_a_mask_where_nobody_looked() -> None:
    q, (images, y, centres) = posterior(), look(COLOUR, INSIDE)
    inputs: list[Tensor] = []
    q.network.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    q.logits(q.embed(y, centres).sum(1), 3)
    mask = seen(COLOUR, INSIDE).expand(2, -1, -1, -1)
    assert torch.allclose(inputs[0], torch.cat([(images - 0.45) / 0.225 * mask, mask], 1), atol=1e-5)


def test_leading_dimensions_and_counts() -> None:
    q, (_, y, centres) = posterior(heads=2), look(COLOUR, INSIDE)
    q.temperature[:3] = torch.tensor([1.0, 0.5, 2.0])
    parts = q.embed(y, centres)
    assert parts.shape == (2, 3, 4 * 24 * 24)
    total = parts.cumsum(1)
    logits = q.logits(total, torch.arange(1, 4))
    assert logits.shape == (2, 3, 4)
    assert torch.allclose(q.logits(total[:, 1], 2), logits[:, 1], atol=1e-5)
    every = q.head_logits(total, torch.arange(1, 4))
    assert every.shape == (2, 3, 2, 4)
    assert torch.allclose(every[:, :, 0], logits)
    q.selected = 1
    assert torch.allclose(q.logits(total, torch.arange(1, 4)), every[:, :, 1])
    q.temperature.fill_(1.0)
    scale = torch.tensor([0.5, 2.0, 1.0])[:, None, None]
    assert torch.allclose(q.head_logits(total, torch.arange(1, 4)), every * scale, atol=1e-6)
    assert q.logits(torch.zeros(4 * 24 * 24), 0).shape == (4,)


def test_double_precision() -> None:
    q, (_, y, centres) = posterior(), look(COLOUR, INSIDE)
    total = copy.deepcopy(q).double().embed(y.double(), centres.double()).sum(1)
    assert total.dtype == torch.float64
    exact = copy.deepcopy(q).double().logits(total, 3)
    assert torch.allclose(q.logits(q.embed(y, centres).sum(1), 3).double(), exact, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_an_image_does_not_depend_on_its_batch(training: bool) -> None:
    q, (_, y, centres) = posterior().train(training), look(COLOUR, INSIDE, count=300)
    q.dropout.p = 0.0
    with torch.no_grad():
        together = q.logits(q.embed(y, centres).sum(1), 3)
        for image in (0, 127, 128, 299):
            alone = q.logits(q.embed(y[image], centres[image]).sum(0), 3)
            assert torch.allclose(alone, together[image], atol=1e-5)


def sites(q: AvpCnnPosterior, y: Tensor, centres: Tensor, labels: Tensor | None = None) -> Any:
    guide = q if labels is None else pyro.poutine.condition(q, {"label": labels})
    trace = pyro.poutine.trace(guide).get_trace(y, centres)
    trace.compute_log_prob()
    return trace


def test_it_is_a_guide_for_one_attribute_or_all() -> None:
    q, (_, y, centres) = posterior(heads=3), look(COLOUR, INSIDE)
    every = q.head_logits(q.embed(y, centres).cumsum(1), torch.arange(1, 4)).log_softmax(-1)
    q.selected = 2
    label = sites(q, y, centres).nodes["label"]
    assert label["value"].shape == (2, 3)
    expected = every[:, :, 2].gather(-1, label["value"][..., None])[..., 0]
    assert torch.allclose(label["log_prob"], expected, atol=1e-5)
    q.selected = None
    label = sites(q, y, centres).nodes["label"]
    assert label["value"].shape == (2, 3, 3)
    expected = every.gather(-1, label["value"][..., None])[..., 0]
    assert torch.allclose(label["log_prob"], expected, atol=1e-5)
    assert torch.allclose(q.logits(q.embed(y, centres).sum(1), 3).log_softmax(-1), every[:, 2], atol=1e-5)


def test_loss_is_the_mean_cross_entropy_of_the_selected_head() -> None:
    q, (_, y, centres) = posterior(heads=2), look(COLOUR, INSIDE)
    q.selected = 1
    labels = torch.tensor([3, 0])
    every = q.head_logits(q.embed(y, centres).cumsum(1), torch.arange(1, 4))
    expected = torch.stack([cross_entropy(every[:, t, 1], labels) for t in range(3)]).mean()
    assert negative_log_posterior(q, y, centres, labels).item() == pytest.approx(expected.item(), rel=1e-5)


def test_training_one_attribute_leaves_the_other_heads_alone() -> None:
    q, (_, y, centres) = posterior(heads=3), look(COLOUR, INSIDE)
    before = copy.deepcopy(q.state_dict())
    q.selected = 1
    optimiser = torch.optim.AdamW(q.parameters(), 1e-2, weight_decay=0.1)
    negative_log_posterior(q, y, centres, torch.tensor([3, 0])).backward()
    optimiser.step()
    changed = {
        name.rsplit(".", 1)[0] for name, value in q.state_dict().items() if (value != before[name]).any()
    }
    assert {name for name in changed if name.startswith("heads")} == {"heads.1"}
    assert any(name.startswith("network") for name in changed)


def test_gradient_reaches_every_parameter_and_every_seen_pixel() -> None:
    q, (_, y, centres) = posterior(heads=2), look(COLOUR, [*INSIDE, *OUTSIDE[:2]], count=16)
    q.selected = None
    y.requires_grad_()
    labels = torch.randint(4, (16, 2), generator=torch.Generator().manual_seed(0))
    loss = -sites(q, y, centres, labels[:, None].expand(-1, 5, -1)).log_prob_sum()
    loss.backward()
    for name, parameter in q.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert y.grad is not None and y.grad.isfinite().all()
    assert (y.grad[:, :3] != 0).float().mean() > 0.9
    assert (y.grad[:, 3, :, :3] == 0).all()  # three rows over the border


def pointer_glimpses(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Glimpses, centres and labels of images in which the first place tells which other place to trust."""
    split = pointer_split(count, seed)
    places = PLACES[[POINTER, *FINE]].expand(count, -1, -1)
    y = GEOMETRY.retina()(split.images, torch.arange(count), places)
    return y, centres_of(places, GEOMETRY), split.labels


def test_it_learns_what_depends_on_where() -> None:
    """Two cells look alike and one of them misleads."""
    torch.manual_seed(0)
    q = AvpCnnPosterior(GEOMETRY, 4, 3, resolution=12, width=8)
    batch, held_out = pointer_glimpses(500, 1), pointer_glimpses(400, 2)
    optimiser = torch.optim.AdamW(q.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        negative_log_posterior(q, *batch).backward()
        optimiser.step()
    y, centres, labels = held_out
    with torch.no_grad():
        found = q.eval().logits(q.embed(y, centres).cumsum(1), torch.arange(1, 4)).argmax(-1)
    right = (found == labels[:, None]).float().mean(0)
    assert right[0] == pytest.approx(0.5, abs=0.1)  # the first place tells two classes from two
    assert right[2] > 0.95


@pytest.mark.parametrize("resolution", [2, 3, 5, 8, 28, 33, 64])
@pytest.mark.parametrize("width", [3, 8])
def test_small_network_of_any_size(resolution: int, width: int) -> None:
    network, features = make_backbone("small", 3, 2, resolution=resolution, width=width)
    assert network(torch.rand(2, 8, resolution, resolution)).shape == (2, features)


def test_impossible_settings() -> None:
    with pytest.raises(SettingsError, match="small, densenet121.*'resnet'"):
        posterior(backbone="resnet")
    with pytest.raises(SettingsError, match="at least 1 head, found 0"):
        posterior(heads=0)
    with pytest.raises(SettingsError, match="at least 2 for the backbone small, found 1"):
        posterior(resolution=1)
    with pytest.raises(SettingsError, match="at least 32 for the backbone mobilenet_v2, found 24"):
        posterior(backbone="mobilenet_v2")
    with pytest.raises(SettingsError, match="torchvision for pretrained weights, found 'small'"):
        posterior(pretrained=True)


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_missing_torchvision_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(SettingsError, match=rf"torchvision for the backbone {name}.*boed-hardattn\[vision\]"):
        make_backbone(name, 3, 1, resolution=32, width=8)


@pytest.fixture(scope="module")
def models() -> Iterator[Any]:
    """torchvision.models; its compiled operators, which no backbone uses, may be for another torch."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: pip install 'boed-hardattn[vision]'")
    try:
        yield importlib.import_module("torchvision.models")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")  # lives as long as this fixture
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        yield importlib.import_module("torchvision.models")


def original(models: Any, name: str) -> nn.Module:
    """The features of torchvision's own network, with the random weights that ours has."""
    torch.manual_seed(0)
    network = models.get_model(TORCHVISION[name], weights=None)
    setattr(network, list(network.named_children())[-1][0], nn.Identity())
    return network.eval()


def ours(name: str, colours: int, scales: int) -> nn.Module:
    torch.manual_seed(0)
    network, features = make_backbone(name, colours, scales, resolution=32, width=8)
    assert features in (1024, 1280)
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("name", TORCHVISION)
def test_an_untrained_mask_changes_nothing_that_torchvision_sees(models: Any, name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    image, mask = (torch.rand(2, channels, 32, 32, generator=generator) for channels in (3, 1))
    network = original(models, name)
    expected = network(image)
    one, two, grey = ours(name, 3, 1), ours(name, 3, 2), ours(name, 1, 1)
    assert torch.allclose(one(torch.cat([image, mask], 1)), expected, atol=1e-5)
    assert torch.allclose(two(torch.cat([image, image, mask, mask], 1)), expected, atol=1e-5)
    expected = network(mask.expand(-1, 3, -1, -1))
    assert torch.allclose(grey(torch.cat([mask, mask], 1)), expected, atol=1e-5)


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_torchvision_network_is_a_guide_and_learns_from_the_mask(models: Any, name: str) -> None:
    q, (_, y, centres) = posterior(resolution=32, backbone=name, heads=2), look(COLOUR, INSIDE)
    q = copy.deepcopy(q)
    first = next(layer for layer in q.modules() if isinstance(layer, nn.Conv2d))
    assert first.weight.shape[1] == 4
    assert (first.weight[:, 3] == 0).all() and (first.weight[:, :3] != 0).any()
    q.train()
    negative_log_posterior(q, y, centres, torch.tensor([3, 0])).backward()
    assert first.weight.grad is not None and (first.weight.grad[:, 3] != 0).any()
    label = sites(q.eval(), y, centres).nodes["label"]
    assert label["value"].shape == (2, 3)
    with torch.no_grad():
        alone = q.logits(q.embed(y[:1], centres[:1]).sum(1), 3)
        both = q.logits(q.embed(y, centres).sum(1), 3)
    assert torch.allclose(alone, both[:1], atol=1e-4)


def test_names_of_backbones() -> None:
    assert BACKBONES == ("small", "densenet121", "mobilenet_v2", "shufflenet_v2")
