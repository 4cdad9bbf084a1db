"""A Gaussian location policy that also says how sure it is of where to look.

Shapes: B images, D features.
"""

from __future__ import annotations

from torch import Tensor

from data.grid import Grid
from data.linear import Linear
from hardattn.model.choices import DEVIATION
from hardattn.model.locations import GaussianMixture, Locations
from hardattn.model.policies import DrawnPolicy
from hardattn.model.registry import POLICIES

RANGE = 2.0  # of log sigma, up and down: between 0.023, a pixel or two, and 1.26, all of the image


@POLICIES.register("gaussian-state")
class StateGaussianPolicy(DrawnPolicy):
    r"""A Gaussian whose mean and standard deviations both depend on the state, one deviation for each axis.

    $\mu = \tanh(W h), \quad \sigma = 0.17 \exp(2 \tanh(W' h))$

    By REINFORCE a deviation falls where glimpses near the mean earn more than the baseline, and rises where
    those far from it do (Williams 1992, section 6): the network explores where it does not know yet, and only
    there. The tanh keeps it from collapsing to a pixel, or leaving the image, for good.

    Args:
        features: D of what it reads.
        grid: for the sizes of image and glimpse.

    >>> import torch
    >>> from data.grid import LocationGrid
    >>> policy = StateGaussianPolicy(8, LocationGrid.evenly((64, 64), 16, 7))
    >>> policy.deviation(torch.randn(3, 8)).shape
    torch.Size([3, 2])
    """

    plain = True

    def __init__(self, features: int, grid: Grid) -> None:
        super().__init__()
        self.mean, self.spread, self.grid = Linear(features, 2), Linear(features, 2), grid

    def forward(self, features: Tensor, taken: Tensor | None = None) -> Locations:
        means = self.mean(features).tanh()[:, None]  # (B, 1, 2)
        return GaussianMixture(means.new_zeros(means.shape[:2]), means, self.deviation(features), self.grid)

    def deviation(self, features: Tensor) -> Tensor:
        """(B, 2) standard deviation of row and column, in normalised coordinates."""
        return DEVIATION * (RANGE * self.spread(features).tanh()).exp()
