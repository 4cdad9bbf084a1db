"""The recurrent attention model as public code trains it, written anew: what training is timed against.

Mnih et al. 2014 (arXiv 1406.6247), in the form of github.com/kevinzakka/recurrent-visual-attention: at every
glimpse the whole batch is padded, a Python loop slices one patch from each image, and wider patches are
pooled; Adam with a rate of 3e-4, a Gaussian policy of deviation .05, the cross-entropy after the last
glimpse, the squared error of the baseline and a hundredth of REINFORCE. Images are floats in memory: nothing
is read or decoded.

Shapes: B images, C channels, G side of a patch, S scales, D hidden features, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, mse_loss, nll_loss, pad, relu

DEVIATION, RATE, SCORE_WEIGHT = 0.05, 3e-4, 0.01


def loop_patches(images: Tensor, centres: Tensor, size: int, scales: int) -> Tensor:
    """(B, S*C, G, G) patches of images (B, C, H, W) around normalised centres (B, 2), one image at a time.

    Of S scales the widest are twice as wide as those before, and pooled; what reaches over a border is 0.

    >>> loop_patches(torch.ones(2, 1, 8, 8), torch.zeros(2, 2), 4, 2).shape
    torch.Size([2, 2, 4, 4])
    """
    extent = torch.tensor(images.shape[2:], device=centres.device)
    middle = (0.5 * (centres + 1) * extent).long()
    return torch.cat([_scale(images, middle, size, size * 2**scale) for scale in range(scales)], 1)


def _scale(images: Tensor, middle: Tensor, size: int, width: int) -> Tensor:
    """(B, C, G, G) of the patches that are so wide, around pixels (B, 2)."""
    padded = pad(images, [width // 2] * 4)
    patches = []
    for number in range(len(images)):
        row, col = middle[number, 0], middle[number, 1]
        patches.append(padded[number, :, row : row + width, col : col + width])
    together = torch.stack(patches)
    return together if width == size else avg_pool2d(together, width // size)


class LoopNetwork(nn.Module):
    """Glimpse, core, location, class and baseline networks, all of linear layers.

    Args:
        values: S*C*G*G of a glimpse.
        hidden: D; what and where have half of it each.
        classes: K.
    """

    def __init__(self, values: int, hidden: int, classes: int) -> None:
        super().__init__()
        half = hidden // 2
        self.what = nn.Sequential(nn.Linear(values, half), nn.ReLU(), nn.Linear(half, hidden))
        self.where = nn.Sequential(nn.Linear(2, half), nn.ReLU(), nn.Linear(half, hidden))
        self.inward, self.onward = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.next_place = nn.Sequential(nn.Linear(hidden, half), nn.ReLU(), nn.Linear(half, 2), nn.Tanh())
        self.class_of, self.baseline_of = nn.Linear(hidden, classes), nn.Linear(hidden, 1)

    def step(self, patches: Tensor, centres: Tensor, state: Tensor) -> Tensor:
        """(B, D) the state after one more glimpse."""
        seen = relu(self.what(patches.flatten(1)) + self.where(centres))
        return relu(self.inward(seen) + self.onward(state))

    def place(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2) the next centre, drawn, and its log-density (B,); no gradient goes to the state."""
        policy = torch.distributions.Normal(self.next_place(state.detach()), DEVIATION)
        centres: Tensor = policy.sample()  # type: ignore[no-untyped-call]
        density: Tensor = policy.log_prob(centres)  # type: ignore[no-untyped-call]
        return centres.clamp(-1, 1), density.sum(1)


class LoopTraining:
    """One iteration, and prediction.

    Args:
        images: (N, C, H, W) floats.
        labels: (N,).
        size, scales: G and S.
        glimpses, hidden, classes: T, D and K.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, size: int, scales: int, glimpses: int, hidden: int, classes: int
    ) -> None:
        self.images, self.labels, self.size, self.scales = images, labels, size, scales
        self.glimpses, self.hidden = glimpses, hidden
        values = scales * images.shape[1] * size * size
        self.network = LoopNetwork(values, hidden, classes).to(images.device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=RATE)

    def step(self, index: Tensor) -> tuple[float, float]:
        """One iteration on images (B,); its loss and the share of right predictions."""
        self.optimiser.zero_grad()
        labels = self.labels[index]
        log_probs, score, expected = self.look(self.images[index])
        right = (log_probs.detach().argmax(1) == labels).float()
        earned = right[:, None].expand_as(expected)
        reinforce = (-score * (earned - expected.detach())).sum(1).mean()
        loss = nll_loss(log_probs, labels) + mse_loss(expected, earned) + SCORE_WEIGHT * reinforce
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.item(), right.mean().item()

    @torch.no_grad()
    def predict(self, index: Tensor) -> Tensor:
        """(B,) classes of images (B,)."""
        return self.look(self.images[index])[0].argmax(1)

    def look(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, K) log-probabilities of the class after T glimpses, (B, T) scores and (B, T) baselines."""
        state = images.new_zeros(len(images), self.hidden)
        centres = images.new_empty(len(images), 2).uniform_(-1, 1)
        scores, expected = [], []
        for _ in range(self.glimpses):
            patches = loop_patches(images, centres, self.size, self.scales)
            state = self.network.step(patches, centres, state)
            centres, score = self.network.place(state)
            scores.append(score)
            expected.append(self.network.baseline_of(state.detach()).squeeze(1))
        log_probs = self.network.class_of(state).log_softmax(1)
        return log_probs, torch.stack(scores, 1), torch.stack(expected, 1)
