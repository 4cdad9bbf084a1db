"""One glimpse of a trained network as a function of tensors alone, which other programs can run.

Shapes: B images, C channels of a glimpse (scales counted in), G glimpse side, K classes, L places of the
grid, W width of the network's state, S width of the state that is carried from step to step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data.grid import Grid
from data.places import normalise, whole_image
from hardattn.model.heads import EPSILON
from hardattn.model.network import HardAttention


class Step(nn.Module):
    r"""(state, glimpse, place) -> (state, probabilities, next place, what each stopping head says).

    The state is all that is remembered of an image: that of the network; where the policy never returns to a
    place, which places were taken; and of a network that halts, with h and q of each glimpse so far,
    $\sum h$, $\sum h q$ and the last prediction, which is the mean of `hardattn.model.halting.mean_field`.

    Args:
        network: in evaluation mode. It takes the likeliest place.
        grid: where glimpses may be.

    Attributes:
        heads: names of the stopping heads, in the order of what they say.
        differentiable: whether places may lie between the pixels.

    >>> from data.grid import LocationGrid
    >>> grid = LocationGrid.evenly((64, 64), 16, 7)
    >>> step = Step(HardAttention(3, grid, classes=2).eval(), grid)
    >>> state, place = step.initial()[None], step.first_place()[None]
    >>> state, probabilities, place, *said = step(state, torch.rand(1, 3, 16, 16), place)
    >>> probabilities.shape, place.shape, step.heads
    (torch.Size([1, 2]), torch.Size([1, 3]), ('gain', 'accuracy_gain', 'act', 'stochastic'))
    """

    def __init__(self, network: HardAttention, grid: Grid) -> None:
        super().__init__()
        self.network, self.grid = network, grid
        start = network.initial(1)
        self.classes = network.class_head.out_features
        self.sizes = [
            start.shape[1],
            0 if network.policy_head.repeats else len(grid),
            0 if network.halting_head is None else 1 + 2 * self.classes,
        ]
        with torch.no_grad():
            self.heads = tuple(network.said(start))
        self.differentiable = network.policy_head.differentiable

    @torch.no_grad()
    def initial(self) -> Tensor:
        """(S,) before any glimpse."""
        start = self.network.initial(1)[0]
        return torch.cat([start, start.new_zeros(sum(self.sizes[1:]))])

    @torch.no_grad()
    def first_place(self) -> Tensor:
        """(3,) of the first glimpse: the whole image at a glance, or what the policy takes unseen."""
        if self.grid.first_glance:
            return whole_image(self.grid.image_size).float()
        start, taken, _ = self.initial()[None].split(self.sizes, 1)
        return self.network.act(start, "greedy", None, self._closed(taken)).places[0].float()

    def forward(self, state: Tensor, glimpse: Tensor, place: Tensor) -> tuple[Tensor, ...]:
        """After one more glimpse.

        Args:
            state: (B, S).
            glimpse: (B, C, G, G) values in [0, 1].
            place: (B, 3) float32 (row, col, side) of the glimpse, in pixels.

        Returns:
            state (B, S), probabilities (B, K), place (B, 3) of the next glimpse, and for each of `heads` what
            it says (B, ...) before the next glimpse.
        """
        before, taken, pooled = state.split(self.sizes, 1)
        after = self.network.step(glimpse, normalise(place, self.grid), before)
        taken = torch.maximum(taken, self._at(place)) if self.sizes[1] else taken
        closed = self._closed(taken)
        said = self.network.said(after, closed)
        probabilities = self.network.classify(after).float().softmax(-1)
        if self.sizes[2]:
            pooled = self._pooled(pooled, probabilities, said["halting"][:, None])
            probabilities = pooled[:, -self.classes :]
        following = self.network.act(after, "greedy", None, closed).places.float()
        return torch.cat([after, taken, pooled], 1), probabilities, following, *said.values()

    def _at(self, place: Tensor) -> Tensor:
        """(B, L) 1 for the place of the grid that (B, 3) is."""
        return (place[:, None] == self.grid.on(place.device)).all(-1).float()

    def _closed(self, taken: Tensor) -> Tensor | None:
        """(B, L) bool; None where the policy may return to a place."""
        return taken > 0 if self.sizes[1] else None

    def _pooled(self, before: Tensor, own: Tensor, halt: Tensor) -> Tensor:
        """(B, 1 + 2K) sums and prediction after one more glimpse, which says (B, K) and halts by (B, 1)."""
        reached, weighted, answer = before.split([1, self.classes, self.classes], 1)
        answer = torch.where(reached < 1 - EPSILON, weighted + (1 - reached) * own, answer)
        return torch.cat([reached + halt, weighted + halt * own, answer], 1)
