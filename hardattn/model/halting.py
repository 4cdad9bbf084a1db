"""Adaptive computation time that is trained end to end: when a network halts, and what it then predicts.

Graves 2016 (arXiv 1603.08983), section 2. The stopping head `act` of `hardattn.model.heads` is another thing:
it reads a detached state and shapes nothing.

Shapes: B images, T glimpses, K classes, D hidden features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hardattn.model.heads import EPSILON, after, halting

FIRST_BIAS = -1.0  # h = .27 at first: of the weight each of four glimpses has its share, and so learns
TINY = 1e-30  # so that the logarithm of a weight of 0 is finite


class HaltingHead(nn.Linear):
    r"""$h_t = \sigma(w \cdot s_t / \sqrt D + b)$, of a state that its gradient shapes.

    An optimiser such as Adam moves every weight alike however small the gradient is. Without the root a few
    steps would decide when to halt, before the network has learned to see.

    Args:
        features: D.

    >>> HaltingHead(16)(torch.zeros(4, 5, 16)).shape
    torch.Size([4, 5])
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, 1)
        nn.init.zeros_(self.weight)
        nn.init.constant_(self.bias, FIRST_BIAS)

    def forward(self, read: Tensor) -> Tensor:
        """(...,) halting probability of states (..., D)."""
        return super().forward(read / self.in_features**0.5).float().sigmoid().squeeze(-1)


def after_each(before: Tensor) -> Tensor:
    """(B, T) halting probabilities after each glimpse, of those said before each; 0 after the last.

    >>> after_each(torch.tensor([[0.9, 0.2, 0.3]])).tolist()
    [[0.20000000298023224, 0.30000001192092896, 0.0]]
    """
    return after(before[..., None]).squeeze(1)


def mean_field(logits: Tensor, halt: Tensor) -> Tensor:
    r"""(B, T, K) log-probabilities of a network that halts, had it been stopped after t glimpses at most.

    $\bar q_t = \sum_{u < m} h_u \, q_u + \Big(1 - \sum_{u < m} h_u\Big) \, q_m, \quad m = \min(t, N)$

    with N of `hardattn.model.heads.halting`: from there on nothing changes, and what it predicts after all
    glimpses is the mean-field vector of Graves' section 2, the remainder being the weight of glimpse N.

    Args:
        logits: (B, T, K) after each glimpse, of q.
        halt: (B, T) probabilities h after each glimpse; the last is taken as 1.

    >>> logits = torch.tensor([[[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]]]).log()
    >>> mean_field(logits, torch.tensor([[0.5, 0.5, 0.0]])).exp()[0, :, 0]
    tensor([0.9000, 0.7000, 0.7000])
    """
    weights = mean_field_weights(halt)  # (B, T, T)
    log_probs = logits.float().log_softmax(-1)
    return (weights.clamp(min=TINY).log()[..., None] + log_probs[:, None]).logsumexp(2)


def mean_field_weights(halt: Tensor) -> Tensor:
    """(B, T, T) weight, after at most t glimpses, of the prediction after glimpse u; each row sums to 1.

    >>> mean_field_weights(torch.tensor([[0.25, 0.5, 0.0]]))
    tensor([[[1.0000, 0.0000, 0.0000],
             [0.2500, 0.7500, 0.0000],
             [0.2500, 0.5000, 0.2500]]])
    """
    steps = halt.shape[-1]
    number = torch.arange(steps, device=halt.device)
    taken = halting(halt)[1][:, None]  # (B, 1) N
    before = halt[:, None] * ((number < number[:, None]) & (number < taken[..., None] - 1))  # (B, T, T)
    last = torch.minimum(number, taken - 1)  # (B, T) glimpse m, from 0
    return before + (1 - before.sum(-1, keepdim=True)) * (number == last[..., None])


def halts_at(halt: Tensor, reach: float = 1 - EPSILON) -> Tensor:
    """(B,) glimpses after which the cumulated halting probability reaches a number, T at the latest.

    >>> halts_at(torch.tensor([[0.25, 0.5, 0.0]]), reach=0.7), halts_at(torch.tensor([[0.1, 0.1, 0.0]]))
    (tensor([2]), tensor([3]))
    """
    return halting(halt, reach)[1]
