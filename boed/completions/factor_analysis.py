"""Completion by probabilistic PCA: a linear Gaussian model of images, conditioned in closed form."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.distributions import MultivariateNormal

from boed.completions.canvas_state import LatentCompletion, LatentModel, Seen, spread, to_cells, within_cells
from boed.completions.completion import CompletionTask
from data.dataset import Split
from data.errors import SettingsError
from data.geometry import Geometry

FITTED_ON = 10_000
WITHIN_ON = 1000
FACTORS = 64  # at most


class FactorAnalysis(LatentModel):
    r"""Images on R x R cells as a few Gaussian factors and isotropic noise.

    $z \sim \mathcal N(0, I_D), \quad x = W z + \mu + \epsilon, \quad \epsilon \sim \mathcal N(0, \sigma^2 I)$

    (Tipping and Bishop 1999, "Probabilistic principal component analysis".) The posterior of z given any of
    the pixels is Gaussian,

    $\Sigma^{-1} = I + W_o^T \Psi_o^{-1} W_o, \quad m = \Sigma\, W_o^T \Psi_o^{-1} (y - \mu_o),$

    where $\Psi_o$ is $\sigma^2$ for a cell that was seen whole. The mean of the seen part of a cell, a share
    c of it, stands for the mean of the cell with an additional variance (1 - c) v, of which v is the variance
    of pixels within that cell. All is in double precision.

    Args:
        geometry: of images and sensor.
        factors: D.
        resolution: largest R.

    >>> geometry = Geometry(8, 8, 1, glimpse_size=4)
    >>> network = FactorAnalysis(geometry, factors=3, resolution=8)
    >>> network.posterior(Seen(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8))).loc.shape
    torch.Size([2, 3])
    """

    loadings: Tensor  # (D, C, R, R)
    variance: Tensor

    def __init__(self, geometry: Geometry, *, factors: int = 64, resolution: int = 32) -> None:
        super().__init__(geometry, factors, resolution, torch.float64)
        self.register_buffer("loadings", self.mean.new_zeros(factors, *self.mean.shape))
        self.register_buffer("variance", self.mean.new_ones(()))

    def decode(self, z: Tensor) -> Tensor:
        """Wz + mu: (..., C, R, R) of z (..., D)."""
        return (z @ self.loadings.flatten(1)).unflatten(-1, self.mean.shape) + self.mean

    def posterior(self, seen: Seen) -> MultivariateNormal:
        """p(z | observed part): (B,) Gaussians in D dimensions."""
        seen = Seen(*(part.to(self.mean.dtype) for part in seen))
        weight = ((seen.coverage > 0) / self.noise_of(seen, self.variance)).flatten(1)  # (B, C*R*R)
        loadings = self.loadings.flatten(1)  # (D, C*R*R)
        identity = torch.eye(self.latent, dtype=weight.dtype, device=weight.device)
        precision = identity + (weight[:, None] * loadings) @ loadings.T  # (B, D, D)
        pulled = (weight * (seen.values - self.mean).flatten(1)) @ loadings.T
        mean = torch.cholesky_solve(pulled[..., None], torch.linalg.cholesky(precision))[..., 0]
        return MultivariateNormal(mean, precision_matrix=precision)

    def draw(self, seen: Seen, noise: Tensor) -> Tensor:
        """z (N, D) from its posterior given the observed part of one image."""
        posterior = self.posterior(seen)
        return posterior.loc + noise @ posterior.scale_tril[0].T


class FactorAnalysisCompletion(LatentCompletion):
    """Images W z + mu, with z from its exact posterior given the glimpses.

    The pixel noise is left out, so that completions are smooth where nothing was seen: the variance sigma^2
    that the factors do not explain is missing from them.

    Args:
        network: fitted.
        pasted: see `LatentCompletion`.

    Attributes:
        factors: the network.
    """

    def __init__(self, network: FactorAnalysis, *, pasted: bool = True) -> None:
        super().__init__(network, pasted=pasted)
        self.factors = network


def fit_factor_analysis(
    split: Split, rows: Tensor, geometry: Geometry, *, factors: int = 64, resolution: int = 32, seed: int = 0
) -> FactorAnalysisCompletion:
    r"""Maximum likelihood in closed form, from the eigenvectors U and eigenvalues of the pixel covariance:

    $W = U_D (\Lambda_D - \sigma^2 I)^{1/2}$, and $\sigma^2$ is the mean of the eigenvalues left out.

    Args:
        split, rows: training images; at most 10,000 of them are used, evenly spread.
        geometry: of images and sensor.
        factors: D, less than the number of images and of C*R*R pixel values.
        resolution: largest R.
        seed: of the randomised eigensolver that large problems are given to.

    Raises:
        SettingsError: too many factors for these images.
    """
    network = FactorAnalysis(geometry, factors=factors, resolution=resolution)
    pixels = to_cells(split.images, spread(rows, FITTED_ON), network.cells).flatten(1).cpu()
    if not 0 < factors < min(pixels.shape):
        raise SettingsError(
            f"expected 1 to {min(pixels.shape) - 1} factors for {pixels.shape[0]} images of "
            f"{pixels.shape[1]} values, found {factors}; choose fewer"
        )
    fitted = PCA(factors, random_state=seed).fit(pixels.numpy())
    left_out = float(pixels.var(0).double().sum()) - float(fitted.explained_variance_.sum())
    variance = max(left_out / (pixels.shape[1] - factors), 1e-8)  # zero for images without noise
    scale = torch.from_numpy(fitted.explained_variance_).double().sub(variance).clamp(min=0).sqrt()
    loadings = torch.from_numpy(fitted.components_).double() * scale[:, None]
    network.loadings.copy_(loadings.view_as(network.loadings))
    network.mean.copy_(torch.from_numpy(fitted.mean_).view_as(network.mean))
    network.variance.fill_(variance)
    network.within.copy_(within_cells(split.images, spread(rows, WITHIN_ON), network.cells))
    return FactorAnalysisCompletion(network.eval().to(split.images.device))


def fit_completion(task: CompletionTask, train: Split, rows: Tensor) -> FactorAnalysisCompletion:
    """As many factors as the images allow, at the resolution of the settings."""
    factors = min(FACTORS, len(rows) - 1)
    return fit_factor_analysis(
        train, rows, task.geometry, factors=factors, resolution=task.settings.resolution
    )


def new_completion(task: CompletionTask, tensors: Mapping[str, Tensor]) -> FactorAnalysisCompletion:
    """Not fitted, with as many factors as were saved."""
    return FactorAnalysisCompletion(new_network(task, len(tensors["loadings"])))


def new_network(task: CompletionTask, factors: int) -> FactorAnalysis:
    """A factor analysis at the resolution of the settings, not fitted."""
    return FactorAnalysis(task.geometry, factors=factors, resolution=task.settings.resolution)
