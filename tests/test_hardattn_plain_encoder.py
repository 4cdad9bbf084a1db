"""The glimpse network as published: its equation, and what a glimpse costs as the image grows."""

from pathlib import Path

import pytest
import torch
from hardattn_tiny import tiny_dataset
from torch.nn.functional import linear

from data.errors import SettingsError
from data.grid import LocationGrid
from hardattn.model.network import HardAttention
from hardattn.runs import train
from hardattn.stopping.flops import mflops_by_part, mflops_per_glimpse, parameters
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe, require_used

GLIMPSE = 8
DATASET = tiny_dataset()


def network_at(side: int, policy: str, encoder: str = "plain") -> HardAttention:
    """Of square images, whose grid has a place every four pixels."""
    torch.manual_seed(0)
    grid = LocationGrid.evenly((side, side), GLIMPSE, side // 4)
    combine = "plain" if encoder == "plain" else "modulate"
    return HardAttention(1, grid, 10, hidden=32, encoder=encoder, combine=combine, policy=policy)


def test_it_is_the_published_equation() -> None:
    network = network_at(28, "gaussian")
    generator = torch.Generator().manual_seed(0)
    glimpses, centres = (torch.rand(s, generator=generator) for s in ((3, 1, GLIMPSE, GLIMPSE), (3, 2)))
    weights = [weight for half in (network.what, network.combine) for weight in half.parameters()]
    assert len(weights) == 8  # four layers with their biases
    what = linear(linear(glimpses.flatten(1), *weights[:2]).relu(), *weights[2:4])
    where = linear(linear(centres, *weights[4:6]).relu(), *weights[6:])
    torch.testing.assert_close(network.features(glimpses, centres), (what + where).relu())


def test_a_glimpse_costs_the_same_whatever_the_size_of_the_image() -> None:
    """With a Gaussian policy; one output for each place of a grid that grows with the image breaks it."""
    shape = (1, GLIMPSE, GLIMPSE)
    for policy in ("mixture", "gaussian-state", "gaussian"):
        small, large = (network_at(side, policy) for side in (28, 280))
        assert parameters(small) == parameters(large)
        assert mflops_by_part(small, shape) == mflops_by_part(large, shape)
    on_grid = [network_at(side, "categorical") for side in (28, 280)]
    places = [(side // 4) ** 2 for side in (28, 280)]
    more = [parameters(network) - parameters(small) for network in on_grid]
    assert more == [33 * (count - 3) - 1 for count in places]  # the Gaussian: 3 outputs, and its deviation
    assert more[1] > 100 * more[0] > 0
    dearer = [mflops_per_glimpse(network, shape) - mflops_per_glimpse(small, shape) for network in on_grid]
    assert dearer == pytest.approx([2e-6 * 32 * (count - 3) for count in places])


def test_what_a_glimpse_costs_by_hand() -> None:
    parts = mflops_by_part(network_at(28, "gaussian"), (1, GLIMPSE, GLIMPSE))
    seen, placed, core = GLIMPSE**2 * 16 + 16 * 32, 2 * 16 + 16 * 32, 2 * 3 * 32 * 32
    assert parts["glimpse and core"] == pytest.approx(2e-6 * (seen + placed + core))


def test_the_combination_comes_with_the_encoder_unless_another_is_chosen(tmp_path: Path) -> None:
    chosen = {"encoder": "plain", "hidden": 8, "batch_size": 16}
    short = {"budget": Budget(epochs=0.1), "device": "cpu"}
    pair = train(DATASET, tmp_path / "pair", **chosen, **short)
    other = train(DATASET, tmp_path / "other", **chosen, combine="add", **short)
    recipes = [checkpoint.read_json(run / checkpoint.RUN)["settings"]["recipe"] for run in (pair, other)]
    assert [recipe["combine"] for recipe in recipes] == ["plain", "add"]


def test_a_batch_norm_is_refused_where_there_is_no_norm() -> None:
    with pytest.raises(SettingsError, match="with --batch-norm, found plain, which has no norm; take one or"):
        require_used("ram", Recipe(encoder="plain", batch_norm=True))
