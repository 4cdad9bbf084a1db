"""Recurrent cores: a whole sequence is step by step, and the gated unit is that of its paper."""

import pytest
import torch

from data.plugins import options_of
from hardattn.model.cores import Core, GruCore
from hardattn.model.registry import CORES


@pytest.mark.parametrize("core", CORES)
def test_a_sequence_is_step_by_step(core: str) -> None:
    torch.manual_seed(0)
    keeps = {"glimpses": 4} if "glimpses" in options_of(CORES[core]) else {}
    made, features = CORES[core](8, **keeps), torch.randn(5, 4, 8, requires_grad=True)
    together = made.sequence(features, made.initial(5))
    steps = Core.sequence(made, features, made.initial(5))
    torch.testing.assert_close(together, steps, atol=1e-5, rtol=1e-5)
    inputs = [features, *made.parameters()]
    gradients = [torch.autograd.grad(states.square().sum(), inputs) for states in (together, steps)]
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


def test_the_gated_unit_by_hand() -> None:
    """r, z = sigma(W x + U h), n = tanh(W x + r U h), h' = n + z (h - n), the parts in this order."""
    torch.manual_seed(0)
    core, features, before = GruCore(4), torch.randn(3, 4), torch.randn(3, 4)
    weights = dict(core.cell.named_parameters())
    inward = (features @ weights["weight_ih"].t() + weights["bias_ih"]).chunk(3, 1)
    onward = (before @ weights["weight_hh"].t() + weights["bias_hh"]).chunk(3, 1)
    reset, update = ((inward[part] + onward[part]).sigmoid() for part in (0, 1))
    new = (inward[2] + reset * onward[2]).tanh()
    torch.testing.assert_close(core(features, before), new + update * (before - new))
