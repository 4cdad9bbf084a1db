"""The terms of the loss. Each is a mean over the images it applies to, and exactly 0 when there are none."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from hardattn.rewards import information
from hardattn.rollout import Rollout

SHARPNESS = 50.0  # k per nat: on a map of some tenths of a nat nearly greedy, as in the saliency heuristic


def mean_over(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of (B, ...) values over the images with `mask` (B,), 0 without any.

    >>> mean_over(torch.tensor([1.0, 2.0]), torch.tensor([False, False]))
    tensor(0.)
    """
    if mask is None:
        return values.mean()
    chosen = values[mask]
    return chosen.mean() if len(chosen) else values.new_zeros(())


def classification(rollout: Rollout, labels: Tensor) -> Tensor:
    """Cross-entropy in nats after every glimpse, and before any, averaged over glimpses and images."""
    logits = torch.cat([rollout.prior[:, None], rollout.logits], dim=1).float()  # (B, T+1, K)
    return cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(logits.shape[1]))


def last_classification(rollout: Rollout, labels: Tensor) -> Tensor:
    """Cross-entropy in nats after the last glimpse, averaged over images."""
    return cross_entropy(rollout.logits[:, -1].float(), labels)


def both_classifications(rollout: Rollout, labels: Tensor) -> Tensor:
    """Mean of the cross-entropy after the last glimpse and of that after every one, in nats."""
    return (last_classification(rollout, labels) + classification(rollout, labels)) / 2


def imitation(rollout: Rollout, supervised: Tensor) -> Tensor:
    """-log pi(l*) of the teacher-forced locations, averaged over glimpses and supervised images.

    Harvey et al. (arXiv 1906.05462), the supervised part of the PS-NOGS objective.
    """
    return mean_over(-rollout.log_prob, supervised)


def saliency(rollout: Rollout, maps: Tensor | None) -> Tensor:
    r"""Cross-entropy of the policy to a map of where to look, averaged over glimpses and images with a map.

    $-\sum_l s_t(l) \log \pi(l \mid h_t), \quad s_t(l) \propto \exp(-k \, \mathrm{EPE}_t(l))$

    The location head is regressed on a saliency that was computed beforehand, as GlimpseNet's is; here it is
    the EPE map of a design. The term is smallest, the entropy of s, where the policy is s.

    Args:
        rollout: with the log-probabilities of the candidates.
        maps: (B', T, L') nats of the same candidates; infinite ones are never to be chosen.
    """
    if maps is None or rollout.candidates is None:
        return rollout.log_prob.new_zeros(())
    wanted = (-SHARPNESS * maps).softmax(-1)
    return -(wanted * rollout.candidates).sum(-1).mean()


def reinforce(
    rollout: Rollout, returns: Tensor, unsupervised: Tensor, normaliser: Tensor | None = None
) -> Tensor:
    """-(R_t - b_t) log pi(l_t), summed over glimpses: its gradient is an unbiased estimate of -grad E[R_1].

    Williams 1992; Mnih et al. 2014, equation 3. R_t (B, T) is what is earned from glimpse t on; the baseline
    b_t is a constant here.

    Args:
        normaliser: of a Gaussian policy, see `hardattn.policies.log_normaliser`. With it the place of log pi
            is taken by log pi less the normaliser, -|l_t - mu_t|^2 / (2 sigma^2). The gradient to the means
            is the same; that to a learned deviation is no longer that of the expected return.
    """
    advantage = returns - rollout.baseline.detach().float()
    score = rollout.log_prob if normaliser is None else rollout.log_prob - normaliser
    return mean_over((-advantage * score).sum(1), unsupervised)


def baseline(rollout: Rollout, returns: Tensor, unsupervised: Tensor) -> Tensor:
    """Squared error of the expected return, averaged over glimpses and unsupervised images."""
    return mean_over((rollout.baseline.float() - returns).square(), unsupervised)


def wake_sleep(rollout: Rollout, labels: Tensor, unsupervised: Tensor, trajectories: int) -> Tensor:
    r"""Importance-weighted trajectories (Ba et al. 2015, arXiv 1509.06812), with the policy as proposal:

    $-\sum_m \tilde w_m \log p(\theta \mid l^m) - \sum_m (\tilde w_m - \tfrac1M) \log \pi(l^m), \quad
    \tilde w_m \propto p(\theta \mid l^m)$

    averaged over unsupervised images. The weights are constants; 1/M is a control variate.

    Args:
        rollout: of M successive trajectories of each unsupervised image.
        labels: (B * M,).
        trajectories: M.
    """
    if not bool(unsupervised.any()):
        return rollout.log_prob.new_zeros(())
    told = -cross_entropy(rollout.logits[:, -1].float(), labels, reduction="none")[unsupervised]
    told = told.view(-1, trajectories)
    paths = rollout.log_prob.sum(1)[unsupervised].view(-1, trajectories)
    weights = told.detach().softmax(1)
    return (-weights * told - (weights - 1 / trajectories) * paths).sum(1).mean()


def gain(rollout: Rollout) -> Tensor:
    """Squared error of the predicted information gain of the next glimpse, averaged over all."""
    realised = information(rollout, torch.empty(0), None)
    return mean_over((rollout.gain.float() - realised).square())
