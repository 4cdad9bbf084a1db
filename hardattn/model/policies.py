"""Location policies by name: where to look next, given what the network remembers.

Shapes: B images, L places of the grid, D features.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from data.errors import SettingsError
from data.grid import Grid, LocationGrid
from data.linear import Linear
from hardattn.model.choices import DEVIATION
from hardattn.model.locations import Categorical, EpeMap, GaussianMixture, Locations
from hardattn.model.registry import POLICIES

COMPONENTS = 3
EXPLORATION = 0.1  # share of arbitrary places that an EPE map explores by, at least

ActMode = Literal["sample", "greedy"]


class Action(NamedTuple):
    """Where a policy looks next.

    Attributes:
        places: (B, 3) int64 (row, col, side); or float ones that may lie between the pixels, through which a
            gradient flows.
        log_prob: (B,) of the places, through which no gradient flows then; None: they were not drawn, and the
            gradient flows through themselves.
    """

    places: Tensor
    log_prob: Tensor | None


class Policy(nn.Module, ABC):
    """The contract: what the network remembers in, the next place out.

    A subclass takes the width D of what it reads, the grid, and keyword-only options; it declares how it
    chooses. `DrawnPolicy` is for those that draw from a distribution.

    Attributes:
        on_grid: whether it chooses among the locations of the grid.
        repeats: whether it may take a place twice; one that may not is told which places are taken.
        scored: whether its log-probability has a gradient, which imitation and REINFORCE go by.
        differentiable: whether it gives float places instead of a log-probability, see `Action`.
        predicts_gain: whether it says itself what the next glimpse gains, see `gain`.
        distance: whether its log-probability is about a distance from a mean and a normaliser, see
            `log_normaliser`.
        plain: whether it knows plain glimpses alone, of one side.
        reads: the "output" of the core; its whole "state", of a core with a memory; or also the "map" of the
            last glimpse, which such a core then carries.
    """

    on_grid: ClassVar[bool] = False
    repeats: ClassVar[bool] = True
    scored: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    predicts_gain: ClassVar[bool] = False
    distance: ClassVar[bool] = False
    plain: ClassVar[bool] = False
    reads: ClassVar[Literal["output", "state", "map"]] = "output"

    @abstractmethod
    def act(
        self,
        features: Tensor,
        mode: ActMode,
        generator: torch.Generator | None = None,
        taken: Tensor | None = None,
    ) -> Action:
        """Where to look next, of features (B, D).

        Args:
            features: what is remembered of the glimpses so far.
            mode: "sample" draws a place, "greedy" takes the best.
            generator: of the draws.
            taken: (B, L) bool, places of the grid that are not to be taken again; None: all are open.
        """

    def log_prob(self, features: Tensor, places: Tensor, taken: Tensor | None = None) -> Tensor:
        """(B,) of places (B, 3) that somebody else chose.

        Raises:
            SettingsError: its places are not drawn.
        """
        raise SettingsError(
            f"expected a policy with a log-probability, found {type(self).__name__}, whose places are not "
            "drawn; take another --policy"
        )

    def gain(self, features: Tensor, entropy: Tensor, taken: Tensor | None = None) -> Tensor:
        """(...,) nats that the next glimpse gains, of features (..., D) and the entropy (...,) of the class.

        Raises:
            SettingsError: it does not predict the gain.
        """
        raise SettingsError(
            f"expected a policy that predicts the gain, found {type(self).__name__}; take --policy epe"
        )

    def log_normaliser(self) -> Tensor:
        """What the log-probability has beside the distance from a mean, see `GaussianPolicy`.

        Raises:
            SettingsError: it is not one Gaussian.
        """
        raise SettingsError("expected a Gaussian policy, found another; take --policy gaussian")


class DrawnPolicy(Policy):
    """A policy that draws from a distribution over places, which `forward` gives.

    >>> from data.grid import LocationGrid
    >>> policy = CategoricalPolicy(8, LocationGrid.evenly((8, 8), 4, 2))
    >>> action = policy.act(torch.zeros(3, 8), "sample", torch.Generator().manual_seed(0))
    >>> action.places.shape, torch.equal(action.log_prob, policy.log_prob(torch.zeros(3, 8), action.places))
    (torch.Size([3, 3]), True)
    """

    @abstractmethod
    def forward(self, features: Tensor, taken: Tensor | None = None) -> Locations:
        """The distribution, of features (B, D), where places (B, L) of the grid are taken."""

    def act(
        self,
        features: Tensor,
        mode: ActMode,
        generator: torch.Generator | None = None,
        taken: Tensor | None = None,
    ) -> Action:
        distribution = self(features, taken)
        places = distribution.mode() if mode == "greedy" else distribution.sample(generator)
        return Action(places, distribution.log_prob(places))

    def log_prob(self, features: Tensor, places: Tensor, taken: Tensor | None = None) -> Tensor:
        return self(features, taken).log_prob(places)


@POLICIES.register("categorical")
class CategoricalPolicy(DrawnPolicy):
    """softmax(W h) over the grid.

    Args:
        features: D of what it reads.
        grid: L locations.
    """

    on_grid = True

    def __init__(self, features: int, grid: Grid) -> None:
        super().__init__()
        self.linear, self.grid = Linear(features, len(grid)), grid

    def forward(self, features: Tensor, taken: Tensor | None = None) -> Locations:
        return Categorical(self.linear(features), self.grid)


@POLICIES.register("product")
class ProductPolicy(DrawnPolicy):
    r"""softmax(W h) over the rows of the grid times softmax(W' h) over its columns.

    On a grid of 50 x 50 it costs 100 D multiply-adds instead of 2,500 D; it cannot say which row a column
    goes with. Of several sides s

    $\log \pi(r, c, s) = a_{i(r, s)} + b_{j(c, s)} + d_s - \log Z,$

    i and j being the row and the column of the plain glimpses whose centre is nearest to that of a wider one:
    what is where is learned for all sides at once, and one logit d more for each of them.

    Args:
        features: D of what it reads.
        grid: L locations, of each side all rows times all columns.
    """

    on_grid = True

    def __init__(self, features: int, grid: Grid) -> None:
        super().__init__()
        plain, *wider = grid.parts
        self.sizes = (len(plain.rows), len(plain.cols), 1 + len(wider) if wider else 0)
        self.linear, self.grid = Linear(features, sum(self.sizes)), grid
        for number, part in enumerate(grid.parts):
            rows, cols = nearest(part, plain, "rows"), nearest(part, plain, "cols")
            self.register_buffer(f"rows_{number}", rows, persistent=False)
            self.register_buffer(f"cols_{number}", cols, persistent=False)

    def forward(self, features: Tensor, taken: Tensor | None = None) -> Locations:
        rows, cols, sides = self.linear(features).split(self.sizes, dim=1)
        tables = [
            rows[:, getattr(self, f"rows_{number}"), None] + cols[:, None, getattr(self, f"cols_{number}")]
            for number in range(len(self.grid.parts))
        ]
        if self.sizes[2]:
            tables = [table + sides[:, number, None, None] for number, table in enumerate(tables)]
        return Categorical(torch.cat([table.flatten(1) for table in tables], 1), self.grid)


def nearest(part: LocationGrid, plain: LocationGrid, axis: Literal["rows", "cols"]) -> Tensor:
    """(R,) number of the row, or column, of plain glimpses whose centre is nearest to each of a wider side's.

    >>> plain, wide = (LocationGrid.evenly((12, 12), side, 3) for side in (4, 8))
    >>> plain.rows, wide.rows, nearest(wide, plain, "rows").tolist()
    ((0, 4, 8), (0, 2, 4), [0, 1, 1])
    """
    wide, own = torch.tensor(getattr(part, axis)), torch.tensor(getattr(plain, axis))
    apart = 2 * (wide[:, None] - own) + part.glimpse_size - plain.glimpse_size
    return apart.abs().argmin(1)


@POLICIES.register("epe")
class EpePolicy(DrawnPolicy):
    """m = W relu(W' h): what `hardattn.training.epe_learner` regresses, for every place of the grid.

    Args:
        features: D of what it reads.
        grid: L locations.

    Attributes:
        epsilon: share of arbitrary places in draws; training anneals it.
    """

    on_grid, repeats, scored, predicts_gain = True, False, False, True

    def __init__(self, features: int, grid: Grid) -> None:
        super().__init__()
        self.layers = nn.Sequential(Linear(features, features), nn.ReLU(), Linear(features, len(grid)))
        self.grid, self.epsilon = grid, EXPLORATION

    def forward(self, features: Tensor, taken: Tensor | None = None) -> EpeMap:
        return EpeMap(self.layers(features), self.grid, self.epsilon, taken)

    def gain(self, features: Tensor, entropy: Tensor, taken: Tensor | None = None) -> Tensor:
        """The entropy of the class less the smallest value of the map, among the places that are open."""
        return entropy - self(features, taken).smallest()


@POLICIES.register("gaussian")
class GaussianPolicy(DrawnPolicy):
    """Gaussians with means tanh(W h) and one standard deviation, which is given or learned.

    With one component it is the policy of Mnih et al. 2014.

    Args:
        features: D of what it reads.
        grid: for the sizes of image and glimpse.
        deviation: standard deviation in normalised coordinates; None: learned, from `DEVIATION` on.

    Attributes:
        components: M.
    """

    components: ClassVar[int] = 1
    distance, plain = True, True

    def __init__(self, features: int, grid: Grid, *, deviation: float | None = DEVIATION) -> None:
        super().__init__()
        self.linear, self.grid = Linear(features, 3 * self.components), grid
        start = torch.tensor(math.log(deviation or DEVIATION))
        self.log_deviation = nn.Parameter(start, requires_grad=deviation is None)

    def forward(self, features: Tensor, taken: Tensor | None = None) -> Locations:
        out = self.linear(features).unflatten(1, (self.components, 3))
        return GaussianMixture(out[..., 0], out[..., 1:].tanh(), self.log_deviation.exp(), self.grid)

    def log_normaliser(self) -> Tensor:
        r"""$\log \tfrac{4}{HW} - 2 \log \sigma - \log 2\pi$, scalar: what log pi has beside the distance.

        The first is the area of a pixel. It is a constant where the deviation is given, and has a gradient
        where that is learned.

        >>> from data.grid import LocationGrid
        >>> grid = LocationGrid.evenly((2, 2), 2, 1)
        >>> round(GaussianPolicy(3, grid, deviation=1.0).log_normaliser().item(), 4)
        -1.8379
        """
        height, width = self.grid.image_size
        return math.log(4 / (height * width)) - 2 * self.log_deviation - math.log(2 * math.pi)


@POLICIES.register("mixture")
class MixturePolicy(GaussianPolicy):
    """Three Gaussians, which share their standard deviation."""

    components, distance = COMPONENTS, False

    def log_normaliser(self) -> Tensor:
        return Policy.log_normaliser(self)
