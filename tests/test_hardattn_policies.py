"""Location policies: densities in closed form, draws that follow them, locations inside the image."""

import math

import pytest
import torch
from torch.distributions import Normal

from data.grid import LocationGrid
from data.places import normalise, places_at
from hardattn.model.locations import Categorical, GaussianMixture
from hardattn.model.policies import GaussianPolicy, ProductPolicy

GRID = LocationGrid.evenly((20, 30), 4, 4)


def test_draws_follow_the_probabilities_and_never_take_an_impossible_place() -> None:
    grid = LocationGrid.evenly((6, 8), 4, 3)
    probabilities = torch.tensor([0.0, 0.5, 0.0, 0.2, 0.3, 0.0, 0.0, 0.0, 0.0])
    policy = Categorical(probabilities.log().expand(20_000, -1), grid)
    drawn = grid.index(policy.sample(torch.Generator().manual_seed(0)))
    torch.testing.assert_close(drawn.bincount(minlength=9) / 20_000, probabilities, atol=0.015, rtol=0)
    assert set(drawn.tolist()) == {1, 3, 4}
    assert policy.log_prob(policy.mode())[0].item() == pytest.approx(math.log(0.5))


def test_density_of_a_gaussian_is_that_of_the_rounded_location() -> None:
    mean, deviation = torch.tensor([[0.1, -0.3]]), torch.tensor(0.2)
    policy = GaussianMixture(torch.zeros(1, 1), mean[:, None], deviation, GRID)
    used = policy.sample(torch.Generator().manual_seed(3))
    centre = normalise(used, GRID)
    expected = Normal(mean, deviation).log_prob(centre).sum(1)
    torch.testing.assert_close(policy.log_prob(used), expected)


def test_density_of_a_mixture() -> None:
    logits = torch.tensor([[0.3, -0.4, 1.0]])
    means = torch.tensor([[[0.0, 0.1], [0.5, -0.5], [-0.4, 0.2]]])
    policy = GaussianMixture(logits, means, torch.tensor(0.17), GRID)
    location = torch.tensor([[7, 9, 4]])
    centre = normalise(location, GRID)
    parts = Normal(means, 0.17).log_prob(centre[:, None]).sum(2) + logits.log_softmax(1)
    torch.testing.assert_close(policy.log_prob(location), parts.logsumexp(1))


def test_draws_of_a_gaussian_have_its_moments_and_stay_inside() -> None:
    grid = LocationGrid.evenly((200, 200), 4, 4)
    policy = GaussianMixture(
        torch.zeros(20_000, 1), torch.tensor([[0.2, -0.1]]).expand(20_000, 1, 2), torch.tensor(0.17), grid
    )
    centres = normalise(policy.sample(torch.Generator().manual_seed(0)), grid)
    torch.testing.assert_close(centres.mean(0), torch.tensor([0.2, -0.1]), atol=5e-3, rtol=0)
    torch.testing.assert_close(centres.std(0), torch.full((2,), 0.17), atol=5e-3, rtol=0)
    wide = GaussianMixture(torch.zeros(500, 1), torch.zeros(500, 1, 2), torch.tensor(9.0), GRID)
    drawn = wide.sample(torch.Generator().manual_seed(0))
    assert drawn.amin(0).tolist() == [0, 0, 4] and drawn.amax(0).tolist() == [16, 26, 4]


def test_a_product_is_one_distribution_of_rows_times_one_of_columns() -> None:
    torch.manual_seed(0)
    policy, state = ProductPolicy(8, GRID), torch.randn(5, 8)
    found = policy(state)
    assert isinstance(found, Categorical)
    table = found.log_probs.exp().view(5, len(GRID.rows), len(GRID.cols))
    rows, cols = table.sum(2), table.sum(1)
    torch.testing.assert_close(table, rows[:, :, None] * cols[:, None])
    torch.testing.assert_close(rows, policy.linear(state)[:, : len(GRID.rows)].softmax(1))
    best = torch.stack([torch.tensor(GRID.rows)[rows.argmax(1)], torch.tensor(GRID.cols)[cols.argmax(1)]], 1)
    assert torch.equal(found.mode(), places_at(best, 4))


@pytest.mark.parametrize("deviation", [0.3, None])
def test_the_deviation_is_given_or_learned(deviation: float | None) -> None:
    policy = GaussianPolicy(8, GRID, deviation=deviation)
    learned = [name for name, p in policy.named_parameters() if p.requires_grad]
    assert ("log_deviation" in learned) == (deviation is None)
    assert policy.log_deviation.exp().item() == pytest.approx(deviation or 0.17)
    found = policy(torch.zeros(3, 8))
    found.log_prob(found.sample(torch.Generator().manual_seed(0))).sum().backward()
    assert policy.linear.weight.grad is not None
