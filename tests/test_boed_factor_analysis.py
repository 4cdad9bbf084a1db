"""Factor analysis against its Gaussian in closed form; completions and their quality."""

import math

import pytest
import torch
from boed_tiny import SMALL, look, random_images
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from boed.completions.canvas_state import Seen, enlarged, observed_cells
from boed.completions.factor_analysis import FactorAnalysis, FactorAnalysisCompletion, fit_factor_analysis
from boed.completions.quality import completion_quality
from data.dataset import Split
from data.errors import SettingsError
from data.geometry import Geometry
from data.places import places_at

FACTORS = 5


def known_model(geometry: Geometry = SMALL, resolution: int = 8, variance: float = 0.02) -> FactorAnalysis:
    """Random factors with all parts different from zero."""
    generator = torch.Generator().manual_seed(0)
    network = FactorAnalysis(geometry, factors=FACTORS, resolution=resolution)
    network.loadings.copy_(0.15 * torch.randn(network.loadings.shape, generator=generator))
    network.mean.copy_(0.3 + 0.4 * torch.rand(network.mean.shape, generator=generator))
    network.within.copy_(0.05 * torch.rand(network.within.shape, generator=generator))
    network.variance.fill_(variance)
    return network


def covariance(network: FactorAnalysis) -> Tensor:
    """Of pixels without their noise: W W'."""
    loadings = network.loadings.flatten(1)
    return loadings.T @ loadings


@pytest.mark.parametrize("resolution", [8, 5])
def test_unobserved_pixels_have_the_closed_form_gaussian_conditional(resolution: int) -> None:
    """Against the conditional of the joint Gaussian of all pixels, which knows nothing of factors."""
    network = known_model(resolution=resolution)
    glimpses, places = look(random_images(3), torch.tensor([[0, 1], [4, 5]]))
    seen = observed_cells(glimpses.double(), places, SMALL, network.cells)
    observed = (seen.coverage[0, 0] > 0).flatten()
    assert 9 <= observed.sum() < len(observed) - 5
    noise = network.variance + (1 - seen.coverage[0, 0]).flatten() * network.within.flatten()
    prior = covariance(network)
    gain = torch.linalg.inv(prior[observed][:, observed] + noise[observed].diag())
    gain = prior[~observed][:, observed] @ gain
    mean = network.mean.flatten()
    expected = mean[~observed] + (seen.values.flatten(1)[:, observed] - mean[observed]) @ gain.T
    posterior = network.posterior(seen)
    assert torch.allclose(network.decode(posterior.loc).flatten(1)[:, ~observed], expected, atol=1e-9)
    loadings = network.loadings.flatten(1)[:, ~observed]
    found = loadings.T @ posterior.covariance_matrix[0] @ loadings
    assert torch.allclose(
        found, prior[~observed][:, ~observed] - gain @ prior[observed][:, ~observed], atol=1e-9
    )


def test_draws_have_the_moments_of_the_posterior() -> None:
    network = known_model()
    glimpses, places = look(random_images(1), torch.tensor([[2, 2]]))
    seen = observed_cells(glimpses.double(), places, SMALL, 8)
    noise = torch.randn(40_000, FACTORS, generator=torch.Generator().manual_seed(1)).double()
    drawn, posterior = network.draw(seen, noise), network.posterior(seen)
    assert torch.allclose(drawn.mean(0), posterior.loc[0], atol=0.02)
    assert torch.allclose(torch.cov(drawn.T), posterior.covariance_matrix[0], atol=0.02)
    assert (posterior.covariance_matrix[0] - torch.eye(FACTORS)).abs().max() > 0.3  # else nothing was learned


@pytest.mark.parametrize("variance", [1e-3, 1e-5, 1e-7])
def test_an_image_seen_whole_is_reconstructed_up_to_the_noise(variance: float) -> None:
    network = known_model(variance=variance)
    z = torch.randn(20, FACTORS, generator=torch.Generator().manual_seed(2)).double()
    images = network.decode(z)
    seen = Seen(images, torch.ones(20, 1, 8, 8).double())
    errors = torch.cat(
        [
            network.decode(network.draw(Seen(*(p[n : n + 1] for p in seen)), z)) - images[n : n + 1]
            for n in range(20)
        ]
    )
    rms = errors.square().mean().sqrt().item()
    expected = math.sqrt(variance * FACTORS / 64)  # D of 64 dimensions of the noise cannot be told from z
    assert rms == pytest.approx(expected, rel=0.4)


def test_prior_and_likelihood_over_the_posterior_are_the_evidence() -> None:
    """log p(z) + log p(x | z) - log p(z | x) against the marginal Gaussian of x, at any z."""
    network = known_model()
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(4, FACTORS, generator=generator).double()
    x = torch.rand(4, 1, 8, 8, generator=generator).double()
    prior = Normal(torch.zeros(FACTORS).double(), 1.0).log_prob(z).sum(1)
    likelihood = Normal(network.decode(z), network.variance.sqrt()).log_prob(x).flatten(1).sum(1)
    marginal = covariance(network) + network.variance * torch.eye(64)
    posterior = network.posterior(Seen(x, torch.ones(4, 1, 8, 8)))
    evidence = MultivariateNormal(network.mean.flatten(), marginal).log_prob(x.flatten(1))
    assert torch.allclose(prior + likelihood - posterior.log_prob(z), evidence)


def test_the_fit_maximises_the_likelihood() -> None:
    """Sampled from a known model: no scaled or known parameters explain the images better."""
    truth = known_model(variance=2e-4)
    truth.loadings.mul_(0.3)  # else pixels leave [0, 1]
    generator = torch.Generator().manual_seed(4)
    drawn = truth.decode(torch.randn(3000, FACTORS, generator=generator).double())
    noise = torch.randn(drawn.shape, generator=generator).double() * truth.variance.sqrt()
    pixels = (drawn + noise).clamp(0, 1)
    images = (pixels.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    split = Split(images, torch.zeros(3000).long(), torch.arange(3000), "")
    network = fit_factor_analysis(split, torch.arange(3000), SMALL, factors=FACTORS, resolution=8).network
    assert isinstance(network, FactorAnalysis)
    values = images.double().flatten(1) / 255

    def likelihood(factors: Tensor, variance: Tensor, mean: Tensor) -> float:
        gaussian = MultivariateNormal(mean.flatten(), factors + variance * torch.eye(64))
        return gaussian.log_prob(values).mean().item()

    own, mean, variance = covariance(network), network.mean, network.variance
    best = likelihood(own, variance, mean)
    others = [(own * f, variance, mean) for f in (0.8, 1.25)]
    others += [(own, variance * f, mean) for f in (0.8, 1.25)]
    others += [(own, variance, mean + 0.01), (covariance(truth), truth.variance, truth.mean)]
    for other in others:
        assert best > likelihood(*other) + 1e-3
    assert (own - covariance(truth)).norm() / own.norm() < 0.15
    total = own.trace() + 64 * variance
    assert total.item() == pytest.approx(values.var(0).sum().item(), rel=1e-5)


@pytest.mark.parametrize("factors", [0, 12, 64])
def test_too_many_factors_are_refused(factors: int) -> None:
    with pytest.raises(SettingsError, match=f"1 to 11 factors for 12 images of 64 values, found {factors}"):
        fit_factor_analysis(random_images(12), torch.arange(12), SMALL, factors=factors, resolution=8)


def test_completions_keep_the_contract() -> None:
    geometry = Geometry(11, 9, 3, glimpse_size=3, scales=2)
    split = random_images(4, geometry)
    completion = FactorAnalysisCompletion(known_model(geometry, resolution=6))
    corners = [[[0, 1], [5, 4]], [[8, 6], [-1, 7]], [[4, 4], [4, 5]], [[0, 0], [30, 3]]]
    locations = places_at(torch.tensor(corners), 3)
    glimpses = geometry.retina()(split.images, torch.arange(4), locations)
    noise = torch.randn(4, 6, completion.noise, generator=torch.Generator().manual_seed(0))
    found = completion.complete(glimpses, locations, noise)
    assert found.shape == (4, 6, 11, 9, 3) and found.dtype == torch.uint8
    assert torch.equal(found, completion.complete(glimpses, locations, noise))
    for n in range(4):
        alone = completion.complete(glimpses[n : n + 1], locations[n : n + 1], noise[n : n + 1])
        assert torch.equal(alone[0], found[n])
    fewer = completion.complete(glimpses, locations, noise[:, :2])
    assert (fewer.int() - found[:, :2].int()).abs().max() <= 1
    assert (completion.complete(glimpses, locations, noise.flip(1)) != found).any()
    observed = torch.zeros(4, 11, 9, dtype=torch.bool)
    for mask, places in zip(observed, locations.tolist(), strict=True):
        for row, col, _ in places:
            mask[max(row, 0) : row + 3, col : col + 3] = True
    error = (found.int() - split.images[:, None].int()).abs().amax((1, 4))
    assert error[observed].max() == 0 and error[~observed].min() > 0
    plain = FactorAnalysisCompletion(known_model(geometry, resolution=6), pasted=False)
    found_plain = plain.complete(glimpses, locations, noise)
    kept = ~observed[:, None].expand(found.shape[:-1])
    assert torch.equal(found_plain[kept], found[kept]) and not torch.equal(found_plain, found)


def test_with_nothing_seen_completions_are_draws_of_the_prior() -> None:
    completion = FactorAnalysisCompletion(known_model())
    noise = torch.randn(1, 3000, FACTORS, generator=torch.Generator().manual_seed(0))
    found = completion.complete(torch.zeros(1, 0, 1, 3, 3), torch.zeros(1, 0, 3).long(), noise)[0]
    network = completion.network
    assert isinstance(network, FactorAnalysis)
    expected = enlarged(network.decode(noise[0].double()), SMALL)
    assert torch.equal(found, expected)
    std = found.float().std(0).mean().item() / 255
    assert std == pytest.approx(covariance(network).diagonal().sqrt().mean().item(), rel=0.2)


def test_weights_are_loaded_into_an_untrained_network() -> None:
    split = random_images(30)
    fitted = fit_factor_analysis(split, torch.arange(30), SMALL, factors=4, resolution=6)
    network = FactorAnalysis(SMALL, factors=4, resolution=6)
    network.load_state_dict(fitted.network.state_dict())
    glimpses, places = look(split, torch.tensor([[1, 1]]))
    noise = torch.randn(30, 2, 4, generator=torch.Generator().manual_seed(0))
    expected = fitted.complete(glimpses, places, noise)
    assert torch.equal(FactorAnalysisCompletion(network).complete(glimpses, places, noise), expected)


class Constant:
    """Adds 10 grey levels to the first row of an image, and 8 to its last rows in every other completion."""

    noise = 1

    def __init__(self, split: Split) -> None:
        self.split, self.network = split, torch.nn.Identity()

    def complete(self, glimpses: Tensor, locations: Tensor, noise: Tensor) -> Tensor:
        images = self.split.images[: len(glimpses), None].expand(-1, noise.shape[1], -1, -1, -1).clone()
        images[:, :, 0] += 10
        images[:, :, 5:] += (torch.arange(noise.shape[1]) % 2 * 8).to(torch.uint8).view(1, -1, 1, 1, 1)
        return images


def test_quality_of_completions_with_known_errors() -> None:
    """Rows 0 to 4 are seen, with an error of 10 in one. In the others half of the completions are 8 off."""
    geometry = Geometry(8, 8, 1, glimpse_size=5)
    images = torch.full((3, 8, 8, 1), 100, dtype=torch.uint8)
    split = Split(images, torch.zeros(3).long(), torch.arange(3), "")
    places = torch.tensor([[0, 0, 5], [0, 3, 5]])
    found = completion_quality(Constant(split), split, torch.arange(3), places, geometry, draws=4)
    assert found.rmse_observed == pytest.approx(math.sqrt(100 / 5))
    assert found.std_observed == 0
    assert found.rmse_unobserved == pytest.approx(math.sqrt(64 / 2))
    assert found.std_unobserved == pytest.approx(math.sqrt(16 * 4 / 3))
