"""The inference network of wake-sleep: where to look, told the class and shown the whole image coarsely.

Ba, Salakhutdinov, Grosse, Frey 2015 (arXiv 1509.06812), section 3. It proposes glimpses in training alone; at
test time nothing is asked of it. Shapes: B images, C channels, G glimpse side, D features, K classes.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from data.linear import Linear
from hardattn.model.locations import Locations
from hardattn.model.policies import DrawnPolicy, Policy


class InferenceNetwork(nn.Module):
    r"""$q(l_t \mid s_{t-1}, x, y) = \mathrm{policy}(\mathrm{relu}(W s_{t-1} + c(x, y)))$.

    Args:
        channels: C of a glance.
        size: G of a glance.
        features: D of the states.
        classes: K.
        policy: of the same kind as the network's own, on D features.

    >>> from data.grid import LocationGrid
    >>> from hardattn.model.policies import CategoricalPolicy
    >>> grid = LocationGrid.evenly((8, 8), 4, 2)
    >>> network = InferenceNetwork(1, 4, 16, 10, CategoricalPolicy(16, grid))
    >>> context = network.context(torch.zeros(3, 1, 4, 4), torch.tensor([0, 1, 2]))
    >>> network(context, torch.zeros(3, 16)).sample(torch.Generator().manual_seed(0)).shape
    torch.Size([3, 3])
    """

    def __init__(self, channels: int, size: int, features: int, classes: int, policy: Policy) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Flatten(),
            Linear(channels * size * size, features),
            nn.ReLU(),
            Linear(features, features),
        )
        self.label = nn.Embedding(classes, features)
        self.state = Linear(features, features)
        self.policy = policy

    def context(self, glances: Tensor, labels: Tensor) -> Tensor:
        """(B, D) c(x, y) of the whole images averaged down (B, C, G, G), in [0, 1], and labels (B,)."""
        return self.image(2 * glances - 1) + self.label(labels)

    def forward(self, context: Tensor, state: Tensor, taken: Tensor | None = None) -> Locations:
        """The distribution over the next place.

        Args:
            context: (B, D).
            state: (B, D) what the network remembers; no gradient goes to it.
            taken: see `hardattn.model.policies.Policy.act`.
        """
        hidden = torch.relu(self.state(state.detach()) + context)
        return cast(DrawnPolicy, self.policy)(hidden, taken)
