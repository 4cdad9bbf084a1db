"""Location policies by name: a distribution over where to look next, given what the network remembers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from data.grid import LocationGrid, denormalise, normalise

DEVIATION = 0.17  # of a Gaussian policy, in normalised coordinates, as in the case study
COMPONENTS = 3


class Locations(Protocol):
    """A distribution over the locations of the next glimpse of B images."""

    def sample(self, generator: torch.Generator | None) -> Tensor:
        """(B, 2) int64 top-left pixels, drawn."""
        ...

    def mode(self) -> Tensor:
        """(B, 2) the most likely location, or nearly."""
        ...

    def log_prob(self, locations: Tensor) -> Tensor:
        """(B,) of the locations (B, 2) that are used; no gradient flows through them."""
        ...


class Categorical:
    """Over the locations of a grid.

    Args:
        logits: (B, L).
        grid: L locations.

    >>> grid = LocationGrid.evenly((8, 8), 4, 2)
    >>> policy = Categorical(torch.tensor([[0.0, 9.0, 0.0, 0.0]]), grid)
    >>> policy.mode().tolist(), round(policy.log_prob(policy.mode()).item(), 4)
    ([[0, 4]], -0.0004)
    """

    def __init__(self, logits: Tensor, grid: LocationGrid) -> None:
        self.log_probs, self.grid = logits.float().log_softmax(1), grid
        self.candidates = grid.locations.to(logits.device)

    def sample(self, generator: torch.Generator | None) -> Tensor:
        """By inverting the distribution function: L additions, not L random numbers."""
        total = self.log_probs.detach().exp().cumsum(1)
        mark = torch.rand(len(total), 1, generator=generator, device=total.device) * total[:, -1:]
        index = torch.searchsorted(total, mark, right=True).squeeze(1)
        return self.candidates[index.clamp(max=total.shape[1] - 1)]

    def mode(self) -> Tensor:
        return self.candidates[self.log_probs.detach().argmax(1)]

    def log_prob(self, locations: Tensor) -> Tensor:
        return self.log_probs.gather(1, self.grid.index(locations)[:, None]).squeeze(1)


class GaussianMixture:
    """Over centres in normalised coordinates; what is drawn is rounded to pixels inside the image.

    The log-probability is the density at the centre of the location that is used, after it was rounded and
    moved inside.

    Args:
        logits: (B, M) of the components.
        means: (B, M, 2) in [-1, 1].
        deviation: standard deviation of each axis, a number or (2,).
        grid: for the sizes of image and glimpse.

    >>> grid = LocationGrid.evenly((8, 8), 4, 2)
    >>> policy = GaussianMixture(torch.zeros(1, 1), torch.zeros(1, 1, 2), torch.tensor(0.5), grid)
    >>> policy.mode().tolist(), round(policy.log_prob(policy.mode()).item(), 4)
    ([[2, 2]], -0.4516)
    """

    def __init__(self, logits: Tensor, means: Tensor, deviation: Tensor, grid: LocationGrid) -> None:
        self.log_shares, self.means = logits.float().log_softmax(1), means.float()
        self.deviation, self.grid = deviation.float().expand(2), grid

    def sample(self, generator: torch.Generator | None) -> Tensor:
        shares = self.log_shares.detach().exp()
        chosen = torch.multinomial(shares, 1, generator=generator)
        noise = torch.randn(len(shares), 2, generator=generator, device=shares.device)
        return self._pixels(self._mean(chosen) + self.deviation.detach() * noise)

    def mode(self) -> Tensor:
        return self._pixels(self._mean(self.log_shares.detach().argmax(1, keepdim=True)))

    def log_prob(self, locations: Tensor) -> Tensor:
        centres = normalise(locations, self.grid.glimpse_size, self.grid.image_size)
        scaled = (centres[:, None] - self.means) / self.deviation
        density = -0.5 * scaled.square().sum(2) - self.deviation.log().sum() - math.log(2 * math.pi)
        return (self.log_shares + density).logsumexp(1)

    def _mean(self, component: Tensor) -> Tensor:
        """(B, 2) mean of one component (B, 1) each."""
        return self.means.detach().gather(1, component[..., None].expand(-1, -1, 2)).squeeze(1)

    def _pixels(self, centres: Tensor) -> Tensor:
        size, (height, width) = self.grid.glimpse_size, self.grid.image_size
        last = torch.tensor([height - size, width - size], device=centres.device)
        inside = denormalise(centres, size, (height, width)).clamp(min=0)
        return torch.minimum(inside, last)


class CategoricalPolicy(nn.Module):
    """softmax(W h) over the grid.

    Args:
        features: D of what it reads.
        grid: L locations.
    """

    def __init__(self, features: int, grid: LocationGrid) -> None:
        super().__init__()
        self.linear, self.grid = nn.Linear(features, len(grid)), grid

    def forward(self, features: Tensor) -> Locations:
        return Categorical(self.linear(features), self.grid)


class GaussianPolicy(nn.Module):
    """Gaussians with means tanh(W h) and one standard deviation, which is given or learned.

    With one component it is the policy of Mnih et al. 2014.

    Args:
        features: D of what it reads.
        grid: for the sizes of image and glimpse.
        components: M.
        deviation: standard deviation in normalised coordinates; None: learned, from `DEVIATION` on.
    """

    def __init__(
        self, features: int, grid: LocationGrid, *, components: int = 1, deviation: float | None = DEVIATION
    ) -> None:
        super().__init__()
        self.linear, self.grid, self.components = nn.Linear(features, 3 * components), grid, components
        start = torch.tensor(math.log(deviation or DEVIATION))
        self.log_deviation = nn.Parameter(start, requires_grad=deviation is None)

    def forward(self, features: Tensor) -> Locations:
        out = self.linear(features).unflatten(1, (self.components, 3))
        return GaussianMixture(out[..., 0], out[..., 1:].tanh(), self.log_deviation.exp(), self.grid)


def _categorical(features: int, grid: LocationGrid, deviation: float | None) -> nn.Module:
    return CategoricalPolicy(features, grid)


def _gaussian(features: int, grid: LocationGrid, deviation: float | None) -> nn.Module:
    return GaussianPolicy(features, grid, deviation=deviation)


def _mixture(features: int, grid: LocationGrid, deviation: float | None) -> nn.Module:
    return GaussianPolicy(features, grid, components=COMPONENTS, deviation=deviation)


ON_GRID = ("categorical",)  # policies that choose among the locations of the grid
POLICIES: dict[str, Callable[[int, LocationGrid, float | None], nn.Module]] = {
    "categorical": _categorical,
    "gaussian": _gaussian,
    "mixture": _mixture,
}
