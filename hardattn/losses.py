"""The terms of the loss. Each is a mean over the images it applies to, and exactly 0 when there are none."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from hardattn.rollout import Rollout


def mean_over(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of (B, ...) values over the images with `mask` (B,), 0 without any.

    >>> mean_over(torch.tensor([1.0, 2.0]), torch.tensor([False, False]))
    tensor(0.)
    """
    if mask is None:
        return values.mean()
    chosen = values[mask]
    return chosen.mean() if len(chosen) else values.new_zeros(())


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of softmax(logits) over the last dimension.

    >>> entropy(torch.tensor([[0.0, 0.0], [0.0, -torch.inf]]))
    tensor([0.6931, 0.0000])
    """
    return torch.special.entr(logits.float().softmax(-1)).sum(-1)


def classification(rollout: Rollout, labels: Tensor) -> Tensor:
    """Cross-entropy in nats after every glimpse, and before any, averaged over glimpses and images."""
    logits = torch.cat([rollout.prior[:, None], rollout.logits], dim=1).float()  # (B, T+1, K)
    return cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(logits.shape[1]))


def imitation(rollout: Rollout, supervised: Tensor) -> Tensor:
    """-log pi(l*) of the teacher-forced locations, averaged over glimpses and supervised images.

    Harvey et al. (arXiv 1906.05462), the supervised part of the PS-NOGS objective.
    """
    return mean_over(-rollout.log_prob, supervised)


def reward(rollout: Rollout, labels: Tensor) -> Tensor:
    """(B,) 1 where the prediction after the last glimpse is right, else 0."""
    return (rollout.logits[:, -1].argmax(-1) == labels).float()


def reinforce(rollout: Rollout, labels: Tensor, unsupervised: Tensor) -> Tensor:
    """-(R - b_t) log pi(l_t), summed over glimpses: its gradient is an unbiased estimate of -grad E[R].

    Williams 1992; Mnih et al. 2014, equation 3. The baseline b_t is a constant here.
    """
    advantage = reward(rollout, labels)[:, None] - rollout.baseline.detach().float()
    return mean_over((-advantage * rollout.log_prob).sum(1), unsupervised)


def baseline(rollout: Rollout, labels: Tensor, unsupervised: Tensor) -> Tensor:
    """Squared error of the expected reward, averaged over glimpses and unsupervised images."""
    return mean_over((rollout.baseline.float() - reward(rollout, labels)[:, None]).square(), unsupervised)


def realised_gain(rollout: Rollout) -> Tensor:
    """(B, T) drop of the predictive entropy by each glimpse, in nats; the first is from before any."""
    entropies = entropy(torch.cat([rollout.prior[:, None], rollout.logits], dim=1))
    return (entropies[:, :-1] - entropies[:, 1:]).detach()


def gain(rollout: Rollout) -> Tensor:
    """Squared error of the predicted information gain of the next glimpse, averaged over all."""
    return mean_over((rollout.gain.float() - realised_gain(rollout)).square())
