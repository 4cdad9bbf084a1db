"""Linear layers by oneDNN compute what torch's own do: products, gradients and FLOPs."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import data.linear
from data.linear import INTEL, SMALL, Linear, _is_faster, product

WIDE = {"AVX512": True, "AVX512_VNNI": True, "AVX2": False}


@pytest.fixture(autouse=True)
def _on_any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.linear, "ONEDNN", True)
    monkeypatch.setattr(data.linear, "SMALL", 8)  # so that small products are oneDNN's


def assert_same_with_gradients(layer: Linear, x: Tensor) -> None:
    inputs = [x, *layer.parameters()] if x.requires_grad else list(layer.parameters())
    fast, plain = layer(x), nn.Linear.forward(layer, x)
    weights = torch.randn(plain.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)
    found, expected = (torch.autograd.grad((out * weights).sum(), inputs) for out in (fast, plain))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (0, 7)])
@pytest.mark.parametrize("outputs", [4, 9])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_torchs(shape: tuple[int, ...], outputs: int, bias: bool) -> None:
    torch.manual_seed(0)
    assert_same_with_gradients(Linear(7, outputs, bias=bias), torch.randn(shape, requires_grad=True))


def test_inputs_of_any_strides() -> None:
    layer = Linear(7, 4)
    for x in (torch.randn(7).expand(5, 7), torch.randn(7, 5).t(), torch.randn(5, 3, 14)[:, 1, ::2]):
        assert_same_with_gradients(layer, x)


def test_the_gradient_of_a_sum_which_is_expanded() -> None:
    layer, x = Linear(7, 4), torch.randn(5, 7)
    sums = (layer(x).sum(), nn.Linear.forward(layer, x).sum())
    found, expected = (torch.autograd.grad(total, list(layer.parameters())) for total in sums)
    torch.testing.assert_close(found, expected)


def test_other_types_are_torchs() -> None:
    layer = Linear(7, 4).double()
    x = torch.randn(5, 7, dtype=torch.float64)
    assert torch.equal(layer(x), nn.Linear.forward(layer, x))


def test_a_small_product_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, on either side of the border."""
    x, weight = torch.randn(5, 7), torch.randn(4, 7)
    monkeypatch.setattr(data.linear, "SMALL", x.numel() * len(weight) + 1)
    assert torch.equal(product(x, weight), nn.functional.linear(x, weight))
    assert SMALL > 1000


def test_flops_are_counted_as_those_of_the_plain_layer() -> None:
    layer, x = Linear(7, 4), torch.randn(5, 7)
    for forward in (layer.forward, lambda x: nn.Linear.forward(layer, x)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            forward(x)
        assert counter.get_total_flops() == 2 * 5 * 7 * 4


@pytest.mark.parametrize("capability", WIDE)
def test_on_intel_and_without_wide_vectors_it_is_torchs(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(data.linear, "_maker", lambda: "AuthenticAMD")
    assert _is_faster() is (WIDE[capability] and torch.backends.mkldnn.is_available())
    monkeypatch.setattr(data.linear, "_maker", lambda: INTEL)
    assert not _is_faster()
