"""The counter's MFLOPs against a count by hand."""

import pytest

from data.grid import LocationGrid
from hardattn.flops import mflops_by_part, mflops_per_glimpse
from hardattn.network import HardAttention


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
        **dict.fromkeys(("gain", "accuracy-gain", "act", "stochastic"), hidden * 32 + 32),
    }
    counted = mflops_by_part(network, (channels, size, size))
    assert counted == pytest.approx({name: 2 * adds / 1e6 for name, adds in by_hand.items()})
    assert mflops_per_glimpse(network, (channels, size, size)) == pytest.approx(
        counted["policy"] + counted["glimpse and core"] + counted["classifier"]
    )
