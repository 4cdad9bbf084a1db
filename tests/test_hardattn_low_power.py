"""Networks made to be cheap: the published sizes, and the counter's MFLOPs against counts by hand."""

import pytest
import torch

from data.errors import SettingsError
from data.grid import LocationGrid
from hardattn.baselines.layers import scaled
from hardattn.baselines.low_power import SMALL_IMAGE, ShuffleUnit
from hardattn.baselines.networks import make_baseline, with_option
from hardattn.model.network import HardAttention
from hardattn.stopping.flops import mflops, parameters

LOW_POWER = with_option("width")


def counted(name: str, side: int, width: float) -> float:
    network = make_baseline(name, (3, side, side), 2, width=width).eval()
    return mflops(network, torch.zeros(1, 3, side, side))


def convolution(inputs: int, outputs: int, kernel: int, side: int, groups: int = 1) -> int:
    """Multiply-adds of a convolution with a map of side x side as result."""
    return inputs // groups * outputs * kernel**2 * side**2


def test_flops_of_the_separable_network_by_hand() -> None:
    products = convolution(3, 8, 3, 8)  # 16 x 16 to 8 x 8
    products += convolution(8, 8, 3, 4, groups=8) + convolution(8, 16, 1, 4)
    products += convolution(16, 16, 3, 4, groups=16) + convolution(16, 16, 1, 4)
    assert counted("separable", 16, 0.5) == pytest.approx(2 * (products + 16 * 2) / 1e6)


def test_flops_of_the_plain_network_by_hand() -> None:
    products = convolution(3, 8, 3, 8) + convolution(8, 16, 3, 4) + 16 * 2
    assert counted("cnn", 16, 0.5) == pytest.approx(2 * products / 1e6)


def test_flops_of_mobilenet_v2_by_hand() -> None:
    """16 x 16 pixels: maps of 8, 4, 2 and 1 a side."""
    products = convolution(3, 8, 3, 8)
    products += convolution(8, 8, 3, 8, groups=8) + convolution(8, 4, 1, 8)  # not expanded
    sides = [(8, 4), (4, 4), (4, 2), (2, 2), (2, 2), (2, 1), *[(1, 1)] * 10]
    channels = [4, 8, 8, 8, 8, 8, *[16] * 4, *[24] * 3, *[40] * 3, 80]
    for inputs, outputs, (before, after) in zip(channels[:-1], channels[1:], sides, strict=True):
        wide = 6 * inputs
        products += convolution(inputs, wide, 1, before)
        products += convolution(wide, wide, 3, after, groups=wide) + convolution(wide, outputs, 1, after)
    products += convolution(80, 320, 1, 1) + 320 * 2
    assert counted("mobilenet_v2", 16, 0.25) == pytest.approx(2 * products / 1e6)


def test_flops_of_shufflenet_v2_by_hand() -> None:
    """16 x 16 pixels: maps of 8, 4, 2 and 1 a side."""
    products, inputs, side = convolution(3, 4, 3, 8), 4, 8
    for half, others in ((8, 3), (14, 7), (28, 3)):
        below = side // 2
        shortcut = convolution(inputs, inputs, 3, below, groups=inputs) + convolution(inputs, half, 1, below)
        branch = convolution(inputs, half, 1, side) + convolution(half, half, 3, below, groups=half)
        products += shortcut + branch + convolution(half, half, 1, below)
        repeated = 2 * convolution(half, half, 1, below) + convolution(half, half, 3, below, groups=half)
        products, inputs, side = products + others * repeated, 2 * half, below
    products += convolution(56, 128, 1, 1) + 128 * 2
    assert counted("shufflenet_v2", 16, 0.125) == pytest.approx(2 * products / 1e6)


def test_flops_of_a_cheap_hard_attention_network_by_hand() -> None:
    """Patches of 4 x 4 pixels, modulated by the place, and a policy over rows and columns."""
    grid, hidden = LocationGrid.evenly((64, 64), 16, 10), 32
    network = HardAttention(3, grid, 2, hidden=hidden, encoder="patches", policy="product").eval()
    state = network.initial(1)
    encoder = convolution(3, 16, 4, 4) + 16 * 16 * hidden
    place, gru = 14 * 2 * hidden, 6 * hidden * hidden
    step = mflops(network.step, torch.zeros(1, 3, 16, 16), torch.zeros(1, 2), state)
    assert step == pytest.approx(2 * (encoder + place + gru) / 1e6)
    assert mflops(network.policy, state) == pytest.approx(2 * (10 + 10) * hidden / 1e6)


@pytest.mark.parametrize(("name", "published"), [("mobilenet_v2", 3_504_872), ("shufflenet_v2", 2_278_604)])
def test_photographs_of_a_thousand_classes_make_the_published_network(name: str, published: int) -> None:
    """As many parameters as the implementation of torchvision has."""
    assert parameters(make_baseline(name, (3, 224, 224), 1000)) == published


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2"])
def test_small_images_are_halved_once_less(name: str) -> None:
    sides = []
    for side in (SMALL_IMAGE, 2 * SMALL_IMAGE):
        network = make_baseline(name, (3, side, side), 2, width=0.125).eval()
        with torch.no_grad():
            sides.append(network.layers[:-3](torch.zeros(1, 3, side, side)).shape[-1])
    assert sides == [SMALL_IMAGE // 16, 2 * SMALL_IMAGE // 32]


def test_a_shuffle_unit_passes_on_half_of_the_channels() -> None:
    maps = torch.rand(1, 8, 3, 3)
    out = ShuffleUnit(8, 8, 1).eval()(maps)
    torch.testing.assert_close(out[:, ::2], maps[:, :4])


@pytest.mark.parametrize("name", LOW_POWER)
def test_more_width_or_resolution_costs_more(name: str) -> None:
    costs = [counted(name, *size) for size in ((16, 0.25), (16, 0.5), (32, 0.5), (48, 1.0))]
    assert costs == sorted(costs) and costs[0] < costs[-1]


@pytest.mark.parametrize("name", LOW_POWER)
def test_a_width_of_one_is_the_default(name: str) -> None:
    wide = make_baseline(name, (1, 20, 20), 3, width=1.0)
    assert parameters(wide) == parameters(make_baseline(name, (1, 20, 20), 3))


def test_widths_are_multiples_of_four() -> None:
    assert [scaled(64, width) for width in (0.01, 0.3, 1.0, 1.5)] == [4, 20, 64, 96]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("resnet", (3, 32, 32), 2, None, 0.5), "no --width with --baseline resnet, found 0.5"),
        (("fc", (3, 32, 32), 2, None, 0.5), "no --width with --baseline fc"),
        (("separable", (3, 32, 32), 2, 64), "no --hidden with --baseline separable, found 64"),
        (("separable", (3, 32, 32), 2, None, 0.0), "above 0, found 0"),
        (("mobilenet_v2", (3, 32, 32), 2, None, float("nan")), "above 0, found nan"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments: tuple[object, ...], found: str) -> None:
    with pytest.raises(SettingsError, match=f"expected .*{found}"):
        make_baseline(*arguments)
