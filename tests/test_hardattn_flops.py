"""The counter's MFLOPs against a count by hand."""

import pytest
import torch

from data.grid import LocationGrid
from hardattn.baselines.networks import residual
from hardattn.model.network import HardAttention
from hardattn.stopping.flops import costs_of, mflops, mflops_by_part, mflops_per_glimpse


@pytest.mark.parametrize(("channels", "size"), [(3, 16), (1, 12), (3, 7)])
def test_by_hand(channels: int, size: int) -> None:
    hidden, places, classes = 32, 169, 10
    network = HardAttention(channels, LocationGrid.evenly((60, 60), size, 13), classes, hidden=hidden)
    once, twice = size // 2, (size // 2 + 1) // 2  # sides after each convolution
    glimpse = once**2 * 16 * channels * 4 * 4 + twice**2 * 32 * 16 * 3 * 3 + 32 * twice**2 * hidden
    where = network.combine.where.linear.in_features * 2 * hidden
    core = 2 * 3 * hidden * hidden
    by_hand = {
        "policy": hidden * places,
        "glimpse and core": glimpse + where + core,
        "classifier": hidden * classes,
        **dict.fromkeys(("gain", "accuracy_gain", "act", "stochastic"), hidden * 32 + 32),
    }
    counted = mflops_by_part(network, (channels, size, size))
    assert counted == pytest.approx({name: 2 * adds / 1e6 for name, adds in by_hand.items()})
    assert mflops_per_glimpse(network, (channels, size, size)) == pytest.approx(
        counted["policy"] + counted["glimpse and core"] + counted["classifier"]
    )


@pytest.mark.parametrize(("core", "products"), [("gru", 6), ("lstm", 8), ("rnn", 2)])
def test_cores_by_hand(core: str, products: int) -> None:
    """Beside the same glimpse and place: as many products of a square matrix with a vector as a core has."""
    hidden = 8
    network = HardAttention(1, LocationGrid.evenly((12, 12), 4, 3), 2, hidden=hidden, core=core)
    glimpse = 2**2 * 16 * 1 * 4 * 4 + 1 * 32 * 16 * 3 * 3 + 32 * hidden  # sides 2 and 1 between
    where = network.combine.where.linear.in_features * 2 * hidden
    adds = {
        "policy": hidden * 9,
        "glimpse and core": glimpse + where + products * hidden * hidden,
        "classifier": hidden * 2,
    }
    counted = mflops_by_part(network, (1, 4, 4))
    assert {name: counted[name] for name in adds} == pytest.approx({n: 2 * a / 1e6 for n, a in adds.items()})
    assert mflops_per_glimpse(network, (1, 4, 4)) == pytest.approx(2 * sum(adds.values()) / 1e6)


def test_residual_network_by_hand() -> None:
    """8 x 8 pixels: a stem of stride 2, then blocks of 16, 32 and 64 channels on maps of side 4, 2 and 1."""
    stem = 4 * 4 * 16 * 3 * 9
    first = 2 * 4 * 4 * 16 * 16 * 9
    second = 2 * 2 * (32 * 16 * 9 + 32 * 32 * 9 + 32 * 16)  # two convolutions and the shortcut
    third = 64 * 32 * 9 + 64 * 64 * 9 + 64 * 32
    counted = mflops(residual((3, 8, 8), 5).eval(), torch.zeros(1, 3, 8, 8))
    assert counted == pytest.approx(2 * (stem + first + second + third + 64 * 5) / 1e6)


def test_the_gain_of_an_epe_map_is_an_entropy_less_its_smallest_value() -> None:
    """The class at every glimpse, and the map once more where it says that a glimpse is not worth it."""
    network = HardAttention(1, LocationGrid.evenly((12, 12), 4, 3), 2, hidden=8, policy="epe")
    parts, costs = mflops_by_part(network, (1, 4, 4)), costs_of(network, (1, 4, 4))
    classify, policy = 2 * 8 * 2 / 1e6, 2 * (8 * 8 + 8 * 9) / 1e6
    look = policy + parts["glimpse and core"]
    taken = torch.tensor([1, 2, 3])
    by_hand = [look + classify + policy, 2 * (look + classify) + policy, 3 * (look + classify)]
    assert costs.spent(taken, 3, "gain", classifies=False).tolist() == pytest.approx(by_hand)
    twice = costs.times(2).spent(taken, 3, "gain", classifies=False)
    assert twice.tolist() == pytest.approx([2 * cost for cost in by_hand])
    fixed = [n * look + classify for n in (1, 2, 3)]
    assert costs.spent(taken, 3, classifies=False).tolist() == pytest.approx(fixed)
