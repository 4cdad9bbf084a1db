"""Completion by a conditional variational auto-encoder: a VAE of images, and a partial encoder for it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyro
import torch
from pyro.distributions import MultivariateNormal, Normal
from pyro.infer import SVI, TraceMeanField_ELBO
from pyro.nn import PyroModule, pyro_method
from pyro.optim import ClippedAdam
from torch import Tensor, nn
from torch.nn.functional import softplus

from boed.completions.canvas_state import (
    LatentCompletion,
    LatentModel,
    Seen,
    random_seen,
    spread,
    to_cells,
    within_cells,
)
from boed.fit_state import seeded_iterations
from data.dataset import Split
from data.geometry import Geometry

BATCH = 64
LEARNING_RATE, PARTIAL_RATE = 4e-3, 2e-3  # of the VAE, and of the partial encoder
LAST_RATE = 0.02  # of the learning rate, at the end of each stage
WITHIN_ON = 1000


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

    c is amortised and so agrees with y but roughly. Each of its draws z_0 is therefore sharpened: moved, by
    Gauss-Newton steps, towards the minimum of

    $(z - z_0)^T \Lambda (z - z_0) + (y - f(z))^T R^{-1} (y - f(z)),$

    as in randomised maximum likelihood (Oliver, He and Reynolds 1996); R is the noise of the observed values.
    Where y says nothing the draw stays what it was.

    Args:
        geometry: of images and sensor.
        latent: D.
        resolution: largest R.
        width: hidden units of encoder, decoder and partial encoder.
        sharpening: Gauss-Newton steps; 0 leaves the draws of c.

    >>> network = ConditionalVae(Geometry(12, 12, 1, glimpse_size=4), latent=3, width=4)
    >>> seen = Seen(torch.zeros(1, 1, 12, 12), torch.zeros(1, 1, 12, 12))
    >>> network.decode(network.draw(seen, torch.randn(5, 3))).shape
    torch.Size([5, 1, 12, 12])
    """

    def __init__(
        self,
        geometry: Geometry,
        *,
        latent: int = 32,
        resolution: int = 32,
        width: int = 256,
        sharpening: int = 2,
    ) -> None:
        super().__init__(geometry, latent, resolution)
        self.sharpening = sharpening
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

    def draw(self, seen: Seen, noise: Tensor) -> Tensor:
        """z (N, D) given the observed part of one image: draws of c, sharpened."""
        c = self.posterior(seen)
        start = c.loc + noise @ c.scale_tril[0].T
        index = (seen.coverage > 0).expand_as(seen.values).flatten().nonzero()[:, 0]
        variance = self.noise_of(seen, (2 * self.log_noise).exp()).flatten()[index]
        observed = (seen.values - self.mean).flatten()[index]
        z = start
        for _ in range(self.sharpening):
            offset, slope = self._linearised(z, index)  # (N, n), (N, n, D)
            pull = slope.mT / variance  # (N, D, n)
            residual = (observed - offset)[..., None] + slope @ (z - start)[..., None]
            step = torch.linalg.solve(c.precision_matrix + pull @ slope, pull @ residual)
            z = start + step[..., 0]
        return z

    def _linearised(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """f(z) - mean at n pixel values, (N, n), and its derivative (N, n, D)."""
        first, _, second = self.decoder
        hidden = first(z)
        weight = second.weight[index]
        slope = (weight * (hidden > 0)[:, None]) @ first.weight
        return hidden.relu() @ weight.T + second.bias[index], slope


class ConditionalVaeCompletion(LatentCompletion):
    """Images f(z), with z from the partial encoder given the glimpses, sharpened.

    Args:
        network: trained by `train_cvae`.
        pasted: see `LatentCompletion`.
    """

    def __init__(self, network: ConditionalVae, *, pasted: bool = True) -> None:
        super().__init__(network, pasted=pasted)


def _two_layers(inputs: int, width: int, outputs: int) -> Any:
    return PyroModule[nn.Sequential](
        PyroModule[nn.Linear](inputs, width), PyroModule[nn.ReLU](), PyroModule[nn.Linear](width, outputs)
    )


@contextmanager
def _averaged(count: int, size: int) -> Iterator[None]:
    """Independent images, whose log-probabilities are divided by their number and by a size."""
    with pyro.plate("images", count), pyro.poutine.scale(scale=1 / (count * size)):
        yield


def train_cvae(
    split: Split,
    rows: Tensor,
    geometry: Geometry,
    *,
    glimpses: int,
    places: Tensor,
    iterations: int,
    seed: int,
    state: Path | None = None,
    **sizes: int,
) -> ConditionalVae:
    """Trains the VAE for half of the iterations, then the partial encoder for the others, by SVI.

    Args:
        split, rows: (M,) training images.
        geometry: of images and sensor.
        glimpses: T; the partial encoder is trained on 0 to T glimpses of an image.
        places: (L, 2) top-left pixels; a glimpse is at one of them, shifted a little.
        iterations: in all, each of 64 images.
        seed: of weights and draws.
        state: see `boed.fit_state.seeded_iterations`.
        sizes: latent, resolution, width, sharpening, see `ConditionalVae`.

    Raises:
        CheckpointError: `state` is damaged, or of another training (both values are shown).
    """
    torch.manual_seed(seed)
    network = ConditionalVae(geometry, **sizes).to(places.device)
    images = to_cells(split.images, rows, network.cells)
    network.mean.copy_(images.mean(0))
    network.within.copy_(within_cells(split.images, spread(rows, WITHIN_ON), network.cells))
    task = {"data": split.fingerprint, "rows": _digest(rows), "places": _digest(places), "seed": seed}
    task |= {"geometry": geometry.to_json(), "glimpses": glimpses, "iterations": iterations, **sizes}
    with pyro.get_param_store().scope():
        optimiser = _optimiser(iterations)
        whole = SVI(network.model, network.guide, optimiser, TraceMeanField_ELBO())
        part = SVI(network.partial_model, network.partial_guide, optimiser, TraceMeanField_ELBO())
        kept = _OptimiserState(optimiser)
        for i, generator in seeded_iterations(
            network, kept, iterations=iterations, seed=seed, state=state, task=task, title="cvae"
        ):
            drawn = torch.randint(len(rows), (BATCH,), generator=generator).to(rows.device)
            if i < iterations // 2:
                whole.step(images[drawn])
            else:
                seen = random_seen(split, rows[drawn], geometry, network.cells, places, glimpses, generator)
                part.step(images[drawn], seen)
    return network.eval()


def _optimiser(iterations: int) -> Any:
    """Adam, whose rate falls by the same factor in each of the two stages."""
    decay = LAST_RATE ** (2 / max(iterations, 2))
    fast = {"log_noise": 10 * LEARNING_RATE}  # a single number that everything else waits for

    def options(name: str) -> dict[str, float]:
        rate = PARTIAL_RATE if "partial" in name else fast.get(name, LEARNING_RATE)
        return {"lr": rate, "lrd": decay}

    return ClippedAdam(options)


class _OptimiserState:
    """The state of Pyro's optimiser, which has one of torch for each parameter, as if it were a single one.

    The parameter groups are among what is kept: the learning rate falls from step to step.
    """

    def __init__(self, optimiser: Any) -> None:
        self.optimiser = optimiser

    def state_dict(self) -> dict[str, Any]:
        kept = {
            name: of_one["state"][0] | {"groups": of_one["param_groups"]}
            for name, of_one in self.optimiser.get_state().items()
        }
        return {"state": kept, "param_groups": []}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        for name, slots in state_dict["state"].items():
            groups = slots.pop("groups")
            self.optimiser.set_state({name: {"state": {0: slots}, "param_groups": groups}})


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.cpu().contiguous().numpy().tobytes()).hexdigest()
