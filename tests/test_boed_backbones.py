"""Backbones of the AVP-CNN: the small network of any size, and torchvision's."""

import copy
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from avp_cnn_tiny import COLOUR, INSIDE, look, posterior, sites
from torch import nn

from boed.posteriors.backbones import make_backbone
from boed.posteriors.choices import BACKBONES, TORCHVISION
from boed.posteriors.posterior import negative_log_posterior
from data.errors import SettingsError


@pytest.mark.parametrize("resolution", [2, 3, 5, 8, 28, 33, 64])
@pytest.mark.parametrize("width", [3, 8])
def test_small_network_of_any_size(resolution: int, width: int) -> None:
    network, features = make_backbone("small", 3, 2, resolution=resolution, width=width)
    assert network(torch.rand(2, 8, resolution, resolution)).shape == (2, features)


def test_impossible_settings() -> None:
    with pytest.raises(SettingsError, match="small, densenet121.*'resnet'"):
        posterior(backbone="resnet")
    with pytest.raises(SettingsError, match="at least 1 attribute, found 0"):
        posterior(attributes=0)
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
    q, (_, y, centres) = posterior(resolution=32, backbone=name), look(COLOUR, INSIDE)
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
