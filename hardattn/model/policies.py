"""Location policies by name: a distribution over where to look next, given what the network remembers."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from data.errors import SettingsError
from data.grid import LocationGrid
from data.places import denormalise, normalise, places_at
from hardattn.model.linear import Linear
from hardattn.model.registry import POLICIES

DEVIATION = 0.17  # of a Gaussian policy, in normalised coordinates, as in the case study
COMPONENTS = 3
EXPLORATION = 0.1  # share of arbitrary places that an EPE map explores by, at least


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

    >>> grid = LocationGrid.evenly((8, 8), 4, 2)
    >>> policy = Categorical(torch.tensor([[0.0, 9.0, 0.0, 0.0]]), grid)
    >>> policy.mode().tolist(), round(policy.log_prob(policy.mode()).item(), 4)
    ([[0, 4, 4]], -0.0004)
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


class EpeMap:
    r"""Over the locations of a grid: the smallest of predicted values, or sometimes an arbitrary one.

    $\pi(l) = (1 - \epsilon)\, [l = \arg\min_{l'} m(l')] + \epsilon / |U|$ on the places U that were not seen,
    and 0 on the others: epsilon-greedy. m bounds the expected posterior entropy after a glimpse there.

    Args:
        epe: (..., L) predicted values m, in nats; to choose from, (B, L).
        grid: L locations.
        epsilon: share of arbitrary places among those that are drawn.
        seen: (..., L) bool; None: nothing is.

    >>> grid = LocationGrid.evenly((8, 8), 4, 2)
    >>> fresh = EpeMap(torch.tensor([[0.6, 0.2, 0.3, 0.5]]), grid, epsilon=0.4)
    >>> later = fresh.without(torch.tensor([[False, True, False, False]]))
    >>> later.mode().tolist(), round(later.smallest().item(), 4)
    ([[4, 0, 4]], 0.3)
    >>> round(later.log_prob(later.mode()).exp().item(), 4)
    0.7333
    """

    def __init__(self, epe: Tensor, grid: LocationGrid, epsilon: float, seen: Tensor | None = None) -> None:
        self.epe, self.grid, self.epsilon = epe.float(), grid, epsilon
        self.seen = torch.zeros_like(epe, dtype=torch.bool) if seen is None else seen

    def without(self, seen: Tensor) -> EpeMap:
        """The same, where places (..., L) are not to be taken again."""
        return EpeMap(self.epe, self.grid, self.epsilon, seen)

    def smallest(self) -> Tensor:
        """(...) nats: the smallest value among places that were not seen."""
        return self._open().amin(-1)

    def sample(self, generator: torch.Generator | None) -> Tensor:
        return self._draws().sample(generator)

    def mode(self) -> Tensor:
        return self.grid.locations.to(self.epe.device)[self._open().argmin(1)]

    def log_prob(self, locations: Tensor) -> Tensor:
        return self._draws().log_prob(locations)

    def _open(self) -> Tensor:
        return self.epe.detach().masked_fill(self.seen, torch.inf)

    def _draws(self) -> Categorical:
        arbitrary = (~self.seen).float()
        arbitrary = arbitrary / arbitrary.sum(1, keepdim=True)
        best = one_hot(self._open().argmin(1), len(self.grid))
        return Categorical((self.epsilon * arbitrary + (1 - self.epsilon) * best).log(), self.grid)


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
    ([[2, 2, 4]], -0.4516)
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
        centres = normalise(locations, self.grid)
        scaled = (centres[:, None] - self.means) / self.deviation
        density = -0.5 * scaled.square().sum(2) - self.deviation.log().sum() - math.log(2 * math.pi)
        return (self.log_shares + density).logsumexp(1)

    def _mean(self, component: Tensor) -> Tensor:
        """(B, 2) mean of one component (B, 1) each."""
        return self.means.detach().gather(1, component[..., None].expand(-1, -1, 2)).squeeze(1)

    def _pixels(self, centres: Tensor) -> Tensor:
        size, (height, width) = self.grid.glimpse_size, self.grid.image_size
        last = torch.tensor([height - size, width - size], device=centres.device)
        corners = denormalise(centres, self.grid)[..., :2].clamp(min=0)
        return places_at(torch.minimum(corners, last), size)


class CategoricalPolicy(nn.Module):
    """softmax(W h) over the grid.

    Args:
        features: D of what it reads.
        grid: L locations.
    """

    def __init__(self, features: int, grid: LocationGrid) -> None:
        super().__init__()
        self.linear, self.grid = Linear(features, len(grid)), grid

    def forward(self, features: Tensor) -> Locations:
        return Categorical(self.linear(features), self.grid)


class ProductPolicy(nn.Module):
    """softmax(W h) over the rows of the grid times softmax(W' h) over its columns.

    On a grid of 50 x 50 it costs 100 D multiply-adds instead of 2,500 D; it cannot say which row a column
    goes with.

    Args:
        features: D of what it reads.
        grid: rows times columns.
    """

    def __init__(self, features: int, grid: LocationGrid) -> None:
        super().__init__()
        self.sizes = (len(grid.rows), len(grid.cols))
        self.linear, self.grid = Linear(features, sum(self.sizes)), grid

    def forward(self, features: Tensor) -> Locations:
        rows, cols = self.linear(features).split(self.sizes, dim=1)
        return Categorical((rows[:, :, None] + cols[:, None]).flatten(1), self.grid)


class EpePolicy(nn.Module):
    """m = W relu(W' h): what `hardattn.training.epe_learner` regresses, for every place of the grid.

    Args:
        features: D of what it reads.
        grid: L locations.

    Attributes:
        epsilon: share of arbitrary places in draws; training anneals it.
    """

    def __init__(self, features: int, grid: LocationGrid) -> None:
        super().__init__()
        self.layers = nn.Sequential(Linear(features, features), nn.ReLU(), Linear(features, len(grid)))
        self.grid, self.epsilon = grid, EXPLORATION

    def forward(self, features: Tensor) -> EpeMap:
        return EpeMap(self.layers(features), self.grid, self.epsilon)


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


def log_normaliser(policy: nn.Module) -> Tensor:
    r"""$-2 \log \sigma - \log 2\pi$, scalar: what the log-density of a Gaussian has beside the distance.

    It is a constant where the deviation is given, and has a gradient where that is learned.

    Raises:
        SettingsError: the policy is not one Gaussian.

    >>> grid = LocationGrid.evenly((8, 8), 4, 2)
    >>> round(log_normaliser(GaussianPolicy(3, grid, deviation=1.0)).item(), 4)
    -1.8379
    """
    if not isinstance(policy, GaussianPolicy) or policy.components != 1:
        raise SettingsError("expected a Gaussian policy, found another; take --policy gaussian")
    return -2 * policy.log_deviation - math.log(2 * math.pi)


@POLICIES.register("categorical")
def _categorical(features: int, grid: LocationGrid, deviation: float | None) -> nn.Module:
    return CategoricalPolicy(features, grid)


@POLICIES.register("product")
def _product(features: int, grid: LocationGrid, deviation: float | None) -> nn.Module:
    return ProductPolicy(features, grid)


@POLICIES.register("epe")
def _epe(features: int, grid: LocationGrid, deviation: float | None) -> nn.Module:
    return EpePolicy(features, grid)


@POLICIES.register("gaussian")
def _gaussian(features: int, grid: LocationGrid, deviation: float | None) -> nn.Module:
    return GaussianPolicy(features, grid, deviation=deviation)


@POLICIES.register("mixture")
def _mixture(features: int, grid: LocationGrid, deviation: float | None) -> nn.Module:
    return GaussianPolicy(features, grid, components=COMPONENTS, deviation=deviation)


ON_GRID = ("categorical", "product", "epe")  # policies that choose among the locations of the grid
