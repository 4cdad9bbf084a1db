"""Layers of posteriors: what is quicker in training learns the same."""

from __future__ import annotations

import copy

import pyro
import pytest
import torch
from torch import Tensor, nn

import data.linear
from boed.posteriors.glimpse_set import GlimpseEncoder, GlimpseSetPosterior, PatchLayers
from boed.posteriors.layers import Dropout, Linear
from boed.posteriors.posterior import negative_log_posterior


@pytest.fixture(autouse=True)
def _on_any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.linear, "ONEDNN", True)
    monkeypatch.setattr(data.linear, "SMALL", 8)  # so that small products are oneDNN's


def gradients(value: Tensor, layers: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(value.square().sum(), list(layers.parameters())))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 10), (2, 4, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_patches_are_read_as_by_a_convolution(shape: tuple[int, int, int], training: bool) -> None:
    """Values and gradients, also of a glimpse whose side is no multiple of a patch's."""
    torch.manual_seed(0)
    layers: PatchLayers = GlimpseEncoder(shape, 6).patch.train(training)
    glimpses = torch.rand(7, *shape)
    found, expected = layers(glimpses), nn.Sequential.forward(layers, glimpses)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    both = [gradients(value, layers) for value in (found, expected)]
    torch.testing.assert_close(*both, atol=1e-4, rtol=1e-4)


def test_a_copy_has_the_same_layers() -> None:
    encoder = GlimpseEncoder((1, 8, 8), 6)
    assert [type(m) for m in copy.deepcopy(encoder).modules()] == [type(m) for m in encoder.modules()]


def test_products_in_evaluation_are_torchs() -> None:
    layer, x = Linear(64, 32).eval(), torch.randn(40, 64)
    assert torch.equal(layer(x), nn.Linear.forward(layer, x))
    torch.testing.assert_close(layer.train()(x), nn.Linear.forward(layer, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_dropout_drops_its_share_and_keeps_the_mean(share: float, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, x = Dropout(share), torch.ones(101, 203, dtype=kind)  # of no multiple of what a draw has
    dropped = layer(x)
    assert dropped.dtype == kind and dropped.unique().numel() == 2
    assert float((dropped == 0).float().mean()) == pytest.approx(share, abs=0.015)
    assert float(dropped.max()) == pytest.approx(1 / (1 - share), rel=1e-4)
    assert not torch.equal(layer(x), dropped)
    torch.manual_seed(0)
    assert torch.equal(layer(x), dropped)


def test_dropout_of_neighbours_is_independent() -> None:
    """Four draws are of one number: none of them says anything of the others."""
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(4096, 4)) > 0).double()
    assert torch.corrcoef(kept.T).sub(torch.eye(4)).abs().max() < 0.06


@pytest.mark.parametrize("attributes", [1, 2])
def test_the_loss_is_that_of_a_trace(attributes: int) -> None:
    """Also with labels of other shares."""
    torch.manual_seed(0)
    q = GlimpseSetPosterior((1, 4, 4), 3, 2, 8, attributes).eval()
    y, centres, shift = torch.rand(5, 2, 1, 4, 4), torch.rand(5, 2, 2), torch.tensor([0.0, 0.5, -1.0])
    labels = torch.randint(3, (5,) if attributes == 1 else (5, attributes))
    guide = pyro.poutine.condition(q, {"label": labels.movedim(0, -1)})
    trace = pyro.poutine.trace(guide).get_trace(y, centres, shift=shift)
    expected = -trace.log_prob_sum() / (labels.numel() * 2)
    torch.testing.assert_close(negative_log_posterior(q, y, centres, labels, shift), expected)
