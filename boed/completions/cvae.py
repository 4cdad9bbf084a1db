"""Completion by a conditional variational auto-encoder: a VAE of images, and a partial encoder for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import pyro
import torch
from pyro.distributions import MultivariateNormal, Normal
from pyro.nn import PyroModule, pyro_method
from torch import Tensor, nn
from torch.nn.functional import softplus

from boed.completions.canvas_state import LatentCompletion, LatentModel, Seen
from boed.completions.completion import CompletionTask
from data.geometry import Geometry

STEPS, HALVINGS = 4, 2  # of Gauss-Newton towards a draw, and of each step where it is too long

Sites = TypeVar("Sites", bound=Callable[..., None])


def _sites(method: Sites) -> Sites:
    """A method of a PyroModule that is a model or guide: what it calls of the module is known to Pyro."""
    return pyro_method(method)


class ConditionalVae(LatentModel):
    r"""A VAE of images on R x R cells, and a partial encoder c(z | y) for the observed part y of an image.

    $z \sim \mathcal N(0, I_D), \quad x \sim \mathcal N(f(z), \sigma^2 I), \quad
    q(z | x) = \mathcal N(m(x), \mathrm{diag}\, s(x)^2), \quad c(z | y) = \mathcal N(\mu(y), \Lambda(y)^{-1})$

    f, sigma, m and s are trained as in any VAE, by the evidence lower bound. Then they are fixed, and c is
    trained on images with random glimpses of them by $E\,\mathrm{KL}(q(z|x) \,\|\, c(z|y))$: the part of a
    lower bound on $\log p(x|y)$ that depends on c. It makes c cover all images that agree with y (Harvey,
    Naderiparizi and Wood 2022, "Conditional Image Generation by Conditioning Variational Auto-Encoders",
    arXiv 2102.12037). The covariance of c is full: a few pixels fix combinations of the latent variables, and
    hardly any one of them. With nothing observed, c is the Gaussian nearest to the latents of all images, for
    which the VAE has N(0, I).

    c is amortised and so agrees with y but roughly. Each of its draws is therefore only where the search for
    a draw of the posterior of z starts: by Gauss-Newton steps, towards the minimum of

    $\lVert z - z_0 \rVert^2 + (y + \epsilon - f(z))^T R^{-1} (y + \epsilon - f(z)), \quad
    z_0 \sim \mathcal N(0, I), \; \epsilon \sim \mathcal N(0, R),$

    R being the noise of the observed values: randomised maximum likelihood (Oliver, He and Reynolds 1996), or
    randomise-then-optimise (Bardsley, Solonen, Haario and Laine 2014, SIAM J. Sci. Comput. 36(4)) without its
    projection and weights. Where f is linear these are exact draws of p(z | y), whatever c says. Elsewhere
    they are approximate, and c says which minimum is near. Where y says nothing they are draws of the prior.

    Args:
        geometry: of images and sensor.
        latent: D.
        resolution: largest R.
        width: hidden units of encoder, decoder and partial encoder.

    >>> network = ConditionalVae(Geometry(12, 12, 1, glimpse_size=4), latent=3, width=4)
    >>> seen = Seen(torch.zeros(1, 1, 12, 12), torch.zeros(1, 1, 12, 12))
    >>> network.decode(network.draw(seen, torch.randn(5, network.noise))).shape
    torch.Size([5, 1, 12, 12])
    """

    def __init__(
        self,
        geometry: Geometry,
        *,
        latent: int = 32,
        resolution: int = 32,
        width: int = 256,
    ) -> None:
        super().__init__(geometry, latent, resolution)
        values, cells = self.mean.numel(), self.cells**2
        self.log_noise = nn.Parameter(torch.tensor(math.log(0.2)))
        self.encoder = _two_layers(values, width, 2 * latent)
        self.decoder = _two_layers(latent, width, values)
        self.partial = _two_layers(values + cells, width, latent + latent**2)

    @_sites
    def model(self, images: Tensor) -> None:
        """The VAE: sites "z" and "pixels", observed as images (B, C, R, R), in nats per pixel value."""
        prior = Normal(images.new_zeros(self.latent), 1.0).to_event(1)
        with _averaged(len(images), self.mean.numel()):
            z = pyro.sample("z", prior)
            pyro.sample("pixels", Normal(self.decode(z), self.log_noise.exp()).to_event(3), obs=images)

    @_sites
    def guide(self, images: Tensor) -> None:
        """q(z | x): site "z"."""
        with _averaged(len(images), self.mean.numel()):
            pyro.sample("z", self.encode(images))

    @_sites
    def partial_model(self, images: Tensor, seen: Seen) -> None:
        """c(z | y): site "z", in nats per latent variable. The pixels are left out: c does not alter them."""
        with _averaged(len(images), self.latent):
            pyro.sample("z", self.posterior(seen))

    @_sites
    @torch.no_grad()
    def partial_guide(self, images: Tensor, seen: Seen) -> None:
        """q(z | x), fixed: site "z"."""
        with pyro.poutine.block(hide_types=["param"]), _averaged(len(images), self.latent):
            pyro.sample("z", self.encode(images))

    def encode(self, images: Tensor) -> Normal:
        """q(z | x) for images (B, C, R, R)."""
        mean, scale = self.encoder((images - self.mean).flatten(1)).chunk(2, -1)
        return Normal(mean, softplus(scale) + 1e-3).to_event(1)

    def decode(self, z: Tensor) -> Tensor:
        """f(z): (..., C, R, R) of z (..., D)."""
        return self.mean + self.decoder(z).unflatten(-1, self.mean.shape)

    def posterior(self, seen: Seen) -> MultivariateNormal:
        """c(z | y): (B,) Gaussians in D dimensions."""
        offset = 4 * (seen.values - self.mean) * (seen.coverage > 0)  # of unit variance, about
        out = self.partial(torch.cat([offset, seen.coverage], 1).flatten(1))
        mean, square = out[:, : self.latent], out[:, self.latent :].unflatten(1, (self.latent, self.latent))
        diagonal = softplus(square.diagonal(dim1=1, dim2=2) + 0.5) + 1e-3  # about 1 at first
        root = (0.1 * square).triu(1) + diagonal.diag_embed()  # root @ root.mT is the precision
        identity = torch.eye(self.latent, device=out.device).expand_as(root)
        inverse = torch.linalg.solve_triangular(root, identity, upper=True)
        return MultivariateNormal(mean, scale_tril=inverse.mT, validate_args=False)

    @property
    def noise(self) -> int:
        """D for z_0, and one for the error of every pixel value, whether observed or not."""
        return self.latent + self.mean.numel()

    def draw(self, seen: Seen, noise: Tensor) -> Tensor:
        """z (N, D) given the observed part of one image, from standard normals (N, D + C*R*R)."""
        prior, errors = noise.split([self.latent, self.mean.numel()], 1)
        index = (seen.coverage > 0).expand_as(seen.values).flatten().nonzero()[:, 0]
        variance = self.noise_of(seen, (2 * self.log_noise).exp()).flatten()[index]
        observed = (seen.values - self.mean).flatten()[index] + errors[:, index] * variance.sqrt()  # (N, n)
        c = self.posterior(seen)
        z = c.loc + prior @ c.scale_tril[0].T
        for _ in range(STEPS):
            z = self._nearer(z, prior, observed, variance, index)
        return z

    def _nearer(self, z: Tensor, prior: Tensor, observed: Tensor, variance: Tensor, index: Tensor) -> Tensor:
        """z (N, D) after a Gauss-Newton step, shortened where that would miss; never a worse one."""

        def cost(z: Tensor) -> Tensor:
            misfit = (observed - self._offset(z, index)).square() / variance
            return ((z - prior).square().sum(1) + misfit.sum(1))[:, None]

        offset, slope = self._offset(z, index), self._slope(z, index)  # (N, n), (N, n, D)
        pull = slope.mT / variance  # (N, D, n)
        residual = (observed - offset)[..., None] + slope @ (z - prior)[..., None]
        precision = torch.eye(self.latent, device=z.device) + pull @ slope
        step = prior + torch.linalg.solve(precision, pull @ residual)[..., 0] - z
        now = cost(z)
        for _ in range(HALVINGS):
            step = torch.where(cost(z + step) <= now, step, step / 2)
        return torch.where(cost(z + step) <= now, z + step, z)

    def _offset(self, z: Tensor, index: Tensor) -> Tensor:
        """f(z) - mean at n pixel values, (N, n)."""
        first, _, second = self.decoder
        return first(z).relu() @ second.weight[index].T + second.bias[index]

    def _slope(self, z: Tensor, index: Tensor) -> Tensor:
        """The derivative of f at n pixel values, (N, n, D)."""
        first, _, second = self.decoder
        return (second.weight[index] * (first(z) > 0)[:, None]) @ first.weight


class ConditionalVaeCompletion(LatentCompletion):
    """Images f(z), with z drawn given the glimpses.

    Args:
        network: trained by `train_cvae`.
        pasted: see `LatentCompletion`.
    """

    def __init__(self, network: ConditionalVae, *, pasted: bool = True) -> None:
        super().__init__(network, pasted=pasted)


def new_completion(task: CompletionTask, tensors: Mapping[str, Tensor]) -> ConditionalVaeCompletion:
    """Untrained; its size does not depend on what it is trained on."""
    return ConditionalVaeCompletion(ConditionalVae(task.geometry, resolution=task.settings.resolution))


def _two_layers(inputs: int, width: int, outputs: int) -> Any:
    return PyroModule[nn.Sequential](
        PyroModule[nn.Linear](inputs, width), PyroModule[nn.ReLU](), PyroModule[nn.Linear](width, outputs)
    )


@contextmanager
def _averaged(count: int, size: int) -> Iterator[None]:
    """Independent images, whose log-probabilities are divided by their number and by a size."""
    with pyro.plate("images", count), pyro.poutine.scale(scale=1 / (count * size)):
        yield
