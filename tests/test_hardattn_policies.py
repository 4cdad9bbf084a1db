"""Location policies: probabilities in closed form, draws that follow them, locations inside the image."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from data.grid import LocationGrid
from data.places import normalise, places_at
from hardattn.model.locations import Categorical, GaussianMixture
from hardattn.model.policies import GaussianPolicy, ProductPolicy
from hardattn.model.registry import POLICIES
from hardattn.model.state_gaussian import StateGaussianPolicy

GRID = LocationGrid.evenly((20, 30), 4, 4)


def test_draws_follow_the_probabilities_and_never_take_an_impossible_place() -> None:
    grid = LocationGrid.evenly((6, 8), 4, 3)
    probabilities = torch.tensor([0.0, 0.5, 0.0, 0.2, 0.3, 0.0, 0.0, 0.0, 0.0])
    policy = Categorical(probabilities.log().expand(20_000, -1), grid)
    drawn = grid.index(policy.sample(torch.Generator().manual_seed(0)))
    torch.testing.assert_close(drawn.bincount(minlength=9) / 20_000, probabilities, atol=0.015, rtol=0)
    assert set(drawn.tolist()) == {1, 3, 4}
    assert policy.log_prob(policy.mode())[0].item() == pytest.approx(math.log(0.5))


def pixels(grid: LocationGrid) -> Tensor:
    """Every place that a glimpse can have, (P, 3)."""
    rows, cols = (torch.arange(extent - grid.glimpse_size + 1) for extent in grid.image_size)
    return places_at(torch.cartesian_prod(rows, cols), grid.glimpse_size)


def mixture_at(means: Tensor, deviation: float, count: int, grid: LocationGrid = GRID) -> GaussianMixture:
    """The same for `count` images: components (M, 2), of unequal shares."""
    logits = torch.linspace(-0.5, 0.9, len(means)).expand(count, -1)
    return GaussianMixture(logits, means.expand(count, -1, -1), torch.tensor(deviation), grid)


MEANS = {
    "one in the middle": [[0.1, -0.3]],
    "one at a corner": [[0.99, -0.99]],
    "three": [[0.0, 0.1], [0.95, -0.5], [-0.4, 1.0]],
}


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize("deviation", [0.02, 0.17, 2.0])
def test_probabilities_of_all_pixels_add_up_to_one(name: str, deviation: float) -> None:
    """Also where a good part of the Gaussian lies beyond a border."""
    places = pixels(GRID)
    found = mixture_at(torch.tensor(MEANS[name]), deviation, len(places)).log_prob(places)
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", MEANS)
def test_draws_have_the_probabilities(name: str) -> None:
    places, count = pixels(GRID), 40_000
    means = torch.tensor(MEANS[name])
    drawn = mixture_at(means, 0.17, count).sample(torch.Generator().manual_seed(0))
    corners = len(range(GRID.image_size[1] - 4 + 1)) * drawn[:, 0] + drawn[:, 1]
    shares = corners.bincount(minlength=len(places)) / count
    expected = mixture_at(means, 0.17, len(places)).log_prob(places).exp()
    error = (expected * (1 - expected) / count).sqrt()
    assert ((shares - expected).abs() < 5 * error + 1e-4).all()


def test_inside_the_probability_is_about_the_density_times_the_area() -> None:
    grid = LocationGrid.evenly((200, 300), 4, 4)
    means = torch.tensor([[0.0, 0.1], [0.3, -0.3], [-0.4, 0.2]])
    place = torch.tensor([[70, 90, 4]])
    policy = mixture_at(means, 0.17, 1, grid)
    parts = Normal(means, 0.17).log_prob(normalise(place, grid)[:, None]).sum(2) + policy.log_shares
    expected = parts.logsumexp(1) + math.log(4 / (200 * 300))
    torch.testing.assert_close(policy.log_prob(place), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("mean", [0.0, 0.6, 0.8, 0.999])
@pytest.mark.parametrize("baseline", [0.0, 1.0])
def test_the_score_function_estimates_the_gradient_also_at_a_border(mean: float, baseline: float) -> None:
    """By the sum over all draws, of 60 pixels; the truth from finite differences of the mean reward."""
    grid = LocationGrid.evenly((60, 60), 12, 4)
    places = pixels(grid)
    reward = 1 + places[:, 0] / 48 + (places[:, 1] / 48 - 0.5).square()

    def expected(row: float) -> Tensor:
        means = torch.tensor([[row, mean]], dtype=torch.float64)
        return (mixture_at(means, 0.17, len(places), grid).log_prob(places).exp() * reward).sum()

    means = torch.tensor([[mean, mean]], requires_grad=True)
    log_prob = mixture_at(means, 0.17, len(places), grid).log_prob(places)
    surrogate = (log_prob.detach().exp() * (reward - baseline) * log_prob).sum()
    found = torch.autograd.grad(surrogate, means)[0][0, 0].item()
    truth = (expected(mean + 0.02) - expected(mean - 0.02)).item() / 0.04
    assert found == pytest.approx(truth, abs=5e-3)


def test_of_a_place_that_is_far_away_the_logarithm_is_finite() -> None:
    means = torch.tensor([[1.0, -1.0]], requires_grad=True)
    found = mixture_at(means, 0.02, 1).log_prob(torch.tensor([[0, 26, 4]]))
    gradient = torch.autograd.grad(found.sum(), means)[0]
    assert found.isfinite().all() and found < -500
    assert gradient.isfinite().all() and gradient[0, 0] < 0 < gradient[0, 1]


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


# a policy that reads the whole state is one of these on other features
SCORED = [name for name, policy in POLICIES.items() if policy.scored and policy.reads == "output"]


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.parametrize("scale", [0.5, 6.0])
def test_reinforce_is_unbiased_by_every_policy(name: str, scale: float) -> None:
    """Along one direction of the state: (reward - baseline) d log pi of draws, against finite differences.

    The larger scale brings means to a border, where much of a Gaussian lies beyond it.
    """
    torch.manual_seed(1)
    policy, count = POLICIES[name](4, GRID).requires_grad_(False), 20_000
    places = GRID.locations if policy.on_grid else pixels(GRID)
    state, along = scale * torch.tensor([[0.5, -0.8, 0.3, 0.9]]), torch.tensor([[0.6, 0.4, -0.5, 0.48]])

    def reward(where: Tensor) -> Tensor:
        return 1 + where[:, 0] / 16 + (where[:, 1] / 26 - 0.5).square()

    def expected(shift: float) -> float:
        mass = policy.log_prob((state + shift * along).expand(len(places), -1), places).double().exp()
        assert mass.sum().item() == pytest.approx(1, abs=1e-4)
        return (mass * reward(places)).sum().item()

    states = state.repeat(count, 1).requires_grad_()
    action = policy.act(states, "sample", torch.Generator().manual_seed(0))
    (score,) = torch.autograd.grad(action.log_prob.sum(), states)
    estimates = (reward(action.places) - 0.3) * (score * along).sum(1)
    truth, error = (expected(0.01) - expected(-0.01)) / 0.02, estimates.std() / count**0.5
    assert abs(estimates.mean() - truth) < 4 * error + 1e-3


def test_every_image_has_its_own_deviation() -> None:
    """One batch against the images one by one, each with its number for both axes."""
    deviations, means = torch.tensor([0.02, 0.17, 0.9]), torch.tensor([[0.1, -0.3], [0.9, 0.2], [-1.0, 0.5]])
    places = torch.tensor([[9, 9, 4], [14, 16, 4], [0, 20, 4]])
    together = GaussianMixture(torch.zeros(3, 1), means[:, None], deviations[:, None].expand(3, 2), GRID)
    each = [
        GaussianMixture(torch.zeros(1, 1), mean[None, None], deviation, GRID).log_prob(place[None])
        for mean, deviation, place in zip(means, deviations, places, strict=True)
    ]
    torch.testing.assert_close(together.log_prob(places), torch.cat(each))
    many = GaussianMixture(
        torch.zeros(9000, 1),
        torch.zeros(9000, 1, 2),
        torch.tensor([0.1, 0.3]).expand(9000, 2),
        LocationGrid.evenly((200, 200), 4, 4),
    )
    centres = normalise(many.sample(torch.Generator().manual_seed(0)), many.grid)
    torch.testing.assert_close(centres.std(0), torch.tensor([0.1, 0.3]), atol=6e-3, rtol=0)


@pytest.mark.parametrize(("wanted", "falls"), [(0.0, True), (0.6, False)])
def test_the_deviation_of_a_state_falls_where_the_mean_is_right(wanted: float, falls: bool) -> None:
    """By REINFORCE, with a reward for places that far from the mean of 0; another state keeps its own."""
    torch.manual_seed(0)
    grid, policy = (
        LocationGrid.evenly((60, 60), 4, 4),
        StateGaussianPolicy(2, LocationGrid.evenly((60, 60), 4, 4)),
    )
    with torch.no_grad():
        for weight in policy.parameters():
            weight.zero_()
    here, there = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert policy.deviation(here).tolist() == [pytest.approx([0.17, 0.17])]
    optimiser, generator = torch.optim.SGD([policy.spread.weight], lr=0.3), torch.Generator().manual_seed(0)
    for _ in range(60):
        action = policy.act(here.expand(500, -1), "sample", generator)
        away = normalise(action.places, grid).norm(dim=1) - wanted
        reward = (-away.square() / 0.02).exp()
        assert action.log_prob is not None
        loss = -((reward - reward.mean()) * action.log_prob).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    changed = policy.deviation(here)[0]
    assert bool((changed < 0.12).all() if falls else (changed > 0.25).all())
    assert policy.deviation(there).tolist() == [pytest.approx([0.17, 0.17])]


def test_the_deviation_of_a_state_stays_within_its_range() -> None:
    policy = StateGaussianPolicy(2, GRID)
    found = policy.deviation(1e4 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))
    ends = torch.tensor([0.17 * math.exp(-2), 0.17 * math.exp(2)])
    assert bool(((found[..., None] - ends).abs().amin(-1) < 1e-3).all())


@pytest.mark.parametrize("deviation", [0.3, None])
def test_the_deviation_is_given_or_learned(deviation: float | None) -> None:
    policy = GaussianPolicy(8, GRID, deviation=deviation)
    learned = [name for name, p in policy.named_parameters() if p.requires_grad]
    assert ("log_deviation" in learned) == (deviation is None)
    assert policy.log_deviation.exp().item() == pytest.approx(deviation or 0.17)
    found = policy(torch.zeros(3, 8))
    found.log_prob(found.sample(torch.Generator().manual_seed(0))).sum().backward()
    assert policy.linear.weight.grad is not None
