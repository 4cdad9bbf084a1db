"""Distributions over where to look next, by which policies draw.

Shapes: B images, L places of the grid, M components.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from data.gpu import constant
from data.grid import Grid
from data.places import denormalise, normalise, places_at
from hardattn.model.draws import drawn

BEYOND = 1e3  # a normalised coordinate that is far outside of the image


class Locations(Protocol):
    """A distribution over the locations of the next glimpse of B images."""

    def sample(self, generator: torch.Generator | None) -> Tensor:
        """(B, 3) int64 places, drawn."""
        ...

    def mode(self) -> Tensor:
        """(B, 3) the most likely place, or nearly."""
        ...

    def log_prob(self, locations: Tensor) -> Tensor:
        """(B,) of the places (B, 3) that are used; no gradient flows through them."""
        ...


class Categorical:
    """Over the locations of a grid.

    Args:
        logits: (B, L).
        grid: L locations.

    >>> from data.grid import LocationGrid
    >>> grid = LocationGrid.evenly((8, 8), 4, 2)
    >>> policy = Categorical(torch.tensor([[0.0, 9.0, 0.0, 0.0]]), grid)
    >>> policy.mode().tolist(), round(policy.log_prob(policy.mode()).item(), 4)
    ([[0, 4, 4]], -0.0004)
    """

    def __init__(self, logits: Tensor, grid: Grid) -> None:
        self.log_probs, self.grid = logits.float().log_softmax(1), grid
        self.candidates = grid.on(logits.device)

    def sample(self, generator: torch.Generator | None) -> Tensor:
        return self.candidates[drawn(self.log_probs.detach().exp(), generator)]

    def mode(self) -> Tensor:
        return self.candidates[self.log_probs.detach().argmax(1)]

    def log_prob(self, locations: Tensor) -> Tensor:
        return self.log_probs.gather(1, self.grid.index(locations)[:, None]).squeeze(1)


class EpeMap:
    r"""Over the locations of a grid: the smallest of predicted values, or sometimes an arbitrary one.

    $\pi(l) = (1 - \epsilon)\, [l = \arg\min_{l'} m(l')] + \epsilon / |U|$ on the places U that are open,
    and 0 on the others: epsilon-greedy. m bounds the expected posterior entropy after a glimpse there.

    Args:
        epe: (..., L) predicted values m, in nats; to choose from, (B, L).
        grid: L locations.
        epsilon: share of arbitrary places among those that are drawn.
        taken: (..., L) bool, places that are not to be taken again; None: all are open.

    >>> from data.grid import LocationGrid
    >>> grid = LocationGrid.evenly((8, 8), 4, 2)
    >>> first = torch.tensor([[False, True, False, False]])
    >>> later = EpeMap(torch.tensor([[0.6, 0.2, 0.3, 0.5]]), grid, epsilon=0.4, taken=first)
    >>> later.mode().tolist(), round(later.smallest().item(), 4)
    ([[4, 0, 4]], 0.3)
    >>> round(later.log_prob(later.mode()).exp().item(), 4)
    0.7333
    """

    def __init__(self, epe: Tensor, grid: Grid, epsilon: float, taken: Tensor | None = None) -> None:
        self.epe, self.grid, self.epsilon = epe.float(), grid, epsilon
        self.taken = torch.zeros_like(epe, dtype=torch.bool) if taken is None else taken

    def smallest(self) -> Tensor:
        """(...) nats: the smallest value among places that are open."""
        return self._open().amin(-1)

    def sample(self, generator: torch.Generator | None) -> Tensor:
        return self._draws().sample(generator)

    def mode(self) -> Tensor:
        return self.grid.on(self.epe.device)[self._open().argmin(1)]

    def log_prob(self, locations: Tensor) -> Tensor:
        return self._draws().log_prob(locations)

    def _open(self) -> Tensor:
        return self.epe.detach().masked_fill(self.taken, torch.inf)

    def _draws(self) -> Categorical:
        arbitrary = (~self.taken).float()
        arbitrary = arbitrary / arbitrary.sum(1, keepdim=True)
        best = one_hot(self._open().argmin(1), len(self.grid))
        return Categorical((self.epsilon * arbitrary + (1 - self.epsilon) * best).log(), self.grid)


class GaussianMixture:
    """Over centres in normalised coordinates; what is drawn is rounded to pixels inside the image.

    The probability of a place is the mass of all centres that are rounded, or moved inside, to it. (The
    density at its centre would bias the gradient of an expected reward wherever mass lies beyond a border.)

    Args:
        logits: (B, M) of the components.
        means: (B, M, 2) in [-1, 1].
        deviation: standard deviation of each axis, a number or (2,); of each image (B, 2).
        grid: for the sizes of image and glimpse.

    >>> from data.grid import LocationGrid
    >>> grid = LocationGrid.evenly((8, 8), 4, 2)
    >>> policy = GaussianMixture(torch.zeros(1, 1), torch.zeros(1, 1, 2), torch.tensor(0.5), grid)
    >>> policy.mode().tolist(), round(policy.log_prob(policy.mode()).item(), 4)
    ([[2, 2, 4]], -3.2449)
    """

    def __init__(self, logits: Tensor, means: Tensor, deviation: Tensor, grid: Grid) -> None:
        self.log_shares, self.means = logits.float().log_softmax(1), means.float()
        self.deviation, self.grid = deviation.float().expand(*deviation.shape[:-1], 2), grid

    def sample(self, generator: torch.Generator | None) -> Tensor:
        shares = self.log_shares.detach().exp()
        chosen = drawn(shares, generator)[:, None]
        noise = torch.randn(len(shares), 2, generator=generator, device=shares.device)
        return self._pixels(self._mean(chosen) + self.deviation.detach() * noise)

    def mode(self) -> Tensor:
        return self._pixels(self._mean(self.log_shares.detach().argmax(1, keepdim=True)))

    def log_prob(self, locations: Tensor) -> Tensor:
        deviation = self.deviation[..., None, :]  # of all components
        low, high = ((edge[:, None] - self.means) / deviation for edge in self._edges(locations))
        return (self.log_shares + log_mass(low.double(), high.double()).sum(2).float()).logsumexp(1)

    def _edges(self, locations: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2) the centres between which a draw comes to a place (B, 3): at a border, all beyond it."""
        size, extent = self.grid.glimpse_size, constant(self.grid.image_size, locations.device)
        centres, corners = normalise(locations, self.grid), locations[..., :2]
        low = (centres - 1 / extent).masked_fill(corners <= 0, -BEYOND)
        return low, (centres + 1 / extent).masked_fill(corners >= extent - size, BEYOND)

    def _mean(self, component: Tensor) -> Tensor:
        """(B, 2) mean of one component (B, 1) each."""
        return self.means.detach().gather(1, component[..., None].expand(-1, -1, 2)).squeeze(1)

    def _pixels(self, centres: Tensor) -> Tensor:
        size, (height, width) = self.grid.glimpse_size, self.grid.image_size
        last = constant((height - size, width - size), centres.device)
        corners = denormalise(centres, self.grid)[..., :2].clamp(min=0)
        return places_at(torch.minimum(corners, last), size)


def log_mass(low: Tensor, high: Tensor) -> Tensor:
    """log of the mass of the standard normal between two numbers, exact also in its tails.

    >>> round(log_mass(torch.tensor(-1.0), torch.tensor(1.0)).exp().item(), 4)
    0.6827
    >>> log_mass(torch.tensor([30.0, -31.0]), torch.tensor([31.0, -30.0])).tolist()
    [-454.3212585449219, -454.3212585449219]
    """
    right = low + high > 0  # mirrored to the left, where the logarithms keep their digits
    low, high = torch.where(right, -high, low), torch.where(right, -low, high)
    upper = torch.special.log_ndtr(high)
    return upper + (-torch.expm1(torch.special.log_ndtr(low) - upper)).log()
