"""The networks that are as micro-factorised or as mixed as published ones: closed forms, counts by hand."""

import pytest
import torch
from torch import nn

from hardattn.baselines.mcunet import MIXED
from hardattn.baselines.micronet import MicroBlock, ShiftMax
from hardattn.baselines.networks import make_baseline
from hardattn.stopping.flops import mflops


def test_shift_max_that_has_learned_nothing_is_a_rectifier() -> None:
    """Of factors 1 and 0 the maximum over the two branches is max(x, 0)."""
    layer, maps = ShiftMax(8), torch.randn(2, 8, 3, 3)
    nn.init.zeros_(layer.factors[-1].weight)
    nn.init.zeros_(layer.factors[-1].bias)
    torch.testing.assert_close(layer(maps), maps.relu())


def test_shift_max_fuses_a_channel_with_the_one_half_of_them_on() -> None:
    layer, maps = ShiftMax(4), torch.rand(1, 4, 1, 1)
    nn.init.zeros_(layer.factors[-1].weight)
    bias = torch.full((2, 2, 4), -50.0)  # the second branch is negative: never the maximum
    bias[0] = torch.tensor([0.0, 50.0]).view(2, 1)  # x_i + x_(i + 2)
    layer.factors[-1].bias.data = bias.flatten()
    torch.testing.assert_close(layer(maps), maps + maps.roll(2, 1))


def test_every_output_of_a_block_depends_on_every_input() -> None:
    """Though both pointwise parts are in groups: they are shuffled between."""
    block, maps = MicroBlock(16, 32, 1).eval(), torch.rand(1, 16, 3, 3, requires_grad=True)
    mixed = block.compress(block.depthwise[:4](maps)).unflatten(1, (block.groups, -1)).transpose(1, 2)
    [gradient] = torch.autograd.grad(block.expand(mixed.flatten(1, 2))[0, 0].sum(), maps)
    assert block.groups > 1 and bool((gradient.abs().sum((2, 3)) > 0).all())


def test_flops_of_micronet_by_hand() -> None:
    """16 x 16 pixels: a stem to 8 a side, then one stage to 4."""
    products = 3 * 3 * 3 * 8 * 16 + 3 * 3 * 4 * 8 * 8  # 3 x 1 of the colours, then 1 x 3 to 4 channels
    for inputs, outputs, before, side in ((4, 8, 8, 4), (8, 8, 4, 4)):
        wide = 2 * inputs
        products += 3 * inputs * side * before + 3 * wide * side**2  # k x 1, 1 x k
        between, groups = max(wide // 4, 4), 2
        products += (wide * between + between * outputs) // groups * side**2
        for channels in (wide, outputs):
            hidden = max(channels // 4, 2)
            products += channels * hidden + hidden * 4 * channels  # factors
            products += 4 * channels * side**2  # of two shifts, in two branches
    counted = mflops(make_baseline("micronet", (3, 16, 16), 2, width=0.5).eval(), torch.zeros(1, 3, 16, 16))
    assert counted == pytest.approx(2 * (products + 8 * 2) / 1e6)


def test_mcunet_mixes_kernels() -> None:
    network = make_baseline("mcunet", (3, 32, 32), 2, width=0.25)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    depthwise = [layer.kernel_size[0] for layer in convolutions if layer.groups > 1]
    assert depthwise == [kernel for _, _, kernels, _ in MIXED for kernel in kernels]
    assert len(set(depthwise)) == 3
