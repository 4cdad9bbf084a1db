"""Fast paths compute what the plain ones do: products, the recurrence, their gradients and their FLOPs."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import hardattn.model.linear
from hardattn.model.cores import Core, GruCore, _GruSequence
from hardattn.model.linear import Linear
from hardattn.model.registry import CORES


def assert_same_with_gradients(fast: Tensor, plain: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)
    weights = torch.randn(plain.shape, generator=torch.Generator().manual_seed(1))
    found, expected = (torch.autograd.grad((out * weights).sum(), inputs) for out in (fast, plain))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (0, 7)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_torchs(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = Linear(7, 4, bias=bias), torch.randn(shape, requires_grad=True)
    assert_same_with_gradients(layer(x), nn.Linear.forward(layer, x), [x, *layer.parameters()])


def test_inputs_of_any_strides() -> None:
    layer = Linear(7, 4)
    for x in (torch.randn(7).expand(5, 7), torch.randn(7, 5).t(), torch.randn(5, 3, 14)[:, 1, ::2]):
        plain = nn.Linear.forward(layer, x)
        assert_same_with_gradients(layer(x), plain, list(layer.parameters()))


def test_the_gradient_of_a_sum_which_is_expanded() -> None:
    layer, x = Linear(7, 4), torch.randn(5, 7)
    sums = (layer(x).sum(), nn.Linear.forward(layer, x).sum())
    found, expected = (torch.autograd.grad(total, list(layer.parameters())) for total in sums)
    torch.testing.assert_close(found, expected)


def test_without_one_dnn_it_is_the_plain_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, core, x = Linear(8, 4), GruCore(8), torch.randn(5, 3, 8)
    fast, states = layer(x), core.sequence(x, core.initial(5))
    monkeypatch.setattr(hardattn.model.linear, "AVAILABLE", False)
    assert torch.equal(layer(x), nn.Linear.forward(layer, x))
    torch.testing.assert_close(layer(x), fast)
    torch.testing.assert_close(core.sequence(x, core.initial(5)), states)


def test_flops_are_counted_as_those_of_the_plain_layer() -> None:
    layer, x = Linear(7, 4), torch.randn(5, 7)
    for forward in (layer.forward, lambda x: nn.Linear.forward(layer, x)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            forward(x)
        assert counter.get_total_flops() == 2 * 5 * 7 * 4


@pytest.mark.parametrize("core", CORES)
def test_a_sequence_is_step_by_step(core: str) -> None:
    torch.manual_seed(0)
    made, x = CORES[core](8), torch.randn(5, 4, 8, requires_grad=True)
    together = made.sequence(x, made.initial(5))
    steps = Core.sequence(made, x, made.initial(5))
    assert_same_with_gradients(together, steps, [x, *made.parameters()])


def test_the_gru_is_torchs() -> None:
    torch.manual_seed(0)
    core, x = GruCore(8), torch.randn(5, 4, 8, requires_grad=True)
    states = [core.initial(5)]
    for features in x.unbind(1):
        states.append(core.cell(features, states[-1]))
    found = core.sequence(x, core.initial(5))
    assert_same_with_gradients(found, torch.stack(states, 1), [x, *core.parameters()])


def test_the_gradient_of_the_gru_is_that_of_differences() -> None:
    torch.manual_seed(0)
    shapes = [(2, 3, 12), (2, 4), (12, 4), (12,)]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(_GruSequence.apply, inputs)
