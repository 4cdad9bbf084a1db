"""The terms of the loss. Each is a mean over the images it applies to, and exactly 0 when there are none."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from data.errors import SettingsError
from data.gpu import sent
from hardattn.model.rollout import Rollout
from hardattn.objectives.choices import LOSS_AT, LossAt

SHARPNESS = 50.0  # k per nat: on a map of some tenths of a nat nearly greedy, as in the saliency heuristic


def mean_over(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of (B, ...) values over the images with `mask` (B,), 0 without any.

    >>> mean_over(torch.tensor([1.0, 2.0]), torch.tensor([False, False]))
    tensor(0.)
    """
    if mask is None:
        return values.mean()
    each = values.flatten(1).mean(1) if values.dim() > 1 else values
    return each.where(mask, 0).sum() / mask.sum().clamp(min=1)


def step_weights(loss_at: LossAt, glimpses: int) -> Tensor:
    """(T+1,) shares of the cross-entropy before any glimpse and after each; they sum to 1.

    Weights in proportion to how often the budget is t glimpses make the loss the expected cross-entropy of a
    network that is stopped by its budget. Before the first glimpse such a network is never asked.

    Args:
        loss_at: a name of `LOSS_AT`, or a weight for each number of glimpses 1 to T.
        glimpses: T.

    Raises:
        SettingsError: an unknown name, or weights that are not T numbers of at least 0, one of them above.

    >>> step_weights("both", 3).tolist(), step_weights([3, 1, 0], 3).tolist()
    ([0.125, 0.125, 0.125, 0.625], [0.0, 0.75, 0.25, 0.0])
    >>> step_weights("after", 2).tolist()
    [0.0, 0.5, 0.5]
    """
    require_loss_at(loss_at)
    if loss_at == "after":
        loss_at = (1.0,) * glimpses
    every, last = torch.full((glimpses + 1,), 1 / (glimpses + 1)), torch.eye(glimpses + 1)[-1]
    if isinstance(loss_at, str):
        return {"every": every, "last": last, "both": (every + last) / 2}[loss_at]
    if len(loss_at) != glimpses:
        raise SettingsError(
            f"expected as many weights in --loss-at as glimpses, {glimpses}, found {len(loss_at)}"
        )
    weights = torch.tensor([0.0, *loss_at])
    return weights / weights.sum()


def require_loss_at(loss_at: LossAt) -> None:
    """Raises SettingsError for what no number of glimpses could be weighted by, see `step_weights`."""
    if isinstance(loss_at, str):
        if loss_at not in LOSS_AT:
            raise SettingsError(f"expected --loss-at of {', '.join(LOSS_AT)}, or weights; found {loss_at!r}")
    elif not (all(0 <= weight < math.inf for weight in loss_at) and sum(loss_at) > 0):
        raise SettingsError(
            f"expected finite weights of at least 0 in --loss-at, one of them above, found {list(loss_at)}"
        )


def classification(rollout: Rollout, targets: Tensor, loss_at: LossAt = "every") -> Tensor:
    r"""Cross-entropy in nats of the predictions, $-\sum_t w_t \sum_k p_k \log q_t(k)$, averaged over images.

    Args:
        rollout: with predictions q before any glimpse and after each.
        targets: labels (B,), or probabilities p (B, K).
        loss_at: gives the weights w, see `step_weights`.
    """
    logits = torch.cat([rollout.prior[:, None], rollout.logits], dim=1).float()  # (B, T+1, K)
    steps = logits.shape[1]
    each = cross_entropy(logits.flatten(0, 1), targets.repeat_interleave(steps, 0), reduction="none")
    weights = sent(step_weights(loss_at, steps - 1), each.device)
    return each.view(-1, steps).mean(0) @ weights


def auxiliary(rollout: Rollout, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of the auxiliary classifier on each glimpse but the first, averaged over both.

    Tan et al. 2021 (arXiv 2111.02018): so every glimpse must show something of the class by itself.

    Args:
        rollout: with the predictions by each glimpse alone.
        targets: labels (B,), or probabilities (B, K).
    """
    if rollout.auxiliary is None or rollout.logits.shape[1] == 1:
        return rollout.prior.new_zeros(())
    logits = rollout.auxiliary[:, 1:].float()
    return cross_entropy(logits.flatten(0, 1), targets.repeat_interleave(logits.shape[1], 0))


def imitation(rollout: Rollout, supervised: Tensor) -> Tensor:
    """-log pi(l*) of the teacher-forced locations, averaged over chosen glimpses and supervised images.

    Harvey et al. (arXiv 1906.05462), the supervised part of the PS-NOGS objective.
    """
    return mean_over(-rollout.log_prob[:, rollout.chosen], supervised)


def saliency(rollout: Rollout, maps: Tensor | None) -> Tensor:
    r"""Cross-entropy of the policy to a map of where to look, averaged over glimpses and images with a map.

    $-\sum_l s_t(l) \log \pi(l \mid h_t), \quad s_t(l) \propto \exp(-k \, \mathrm{EPE}_t(l))$

    The location head is regressed on a saliency that was computed beforehand, as GlimpseNet's is; here it is
    the EPE map of a design, or that of an annotated box. The term is smallest, the entropy of s, where the
    policy is s.

    Args:
        rollout: with the log-probabilities of the candidates.
        maps: (B', T, L') nats of the same candidates; infinite ones are never to be chosen.
    """
    if maps is None or rollout.candidates is None:
        return rollout.log_prob.new_zeros(())
    wanted = (-SHARPNESS * maps).softmax(-1)
    return -(wanted * rollout.candidates).sum(-1)[:, rollout.chosen].mean()


def reinforce(
    rollout: Rollout,
    returns: Tensor,
    unsupervised: Tensor,
    normaliser: Tensor | None = None,
    expected: Tensor | None = None,
) -> Tensor:
    """-(R_t - b_t) log pi(l_t), summed over glimpses: its gradient is an unbiased estimate of -grad E[R_1].

    Williams 1992; Mnih et al. 2014, equation 3. R_t (B, T) is what is earned from glimpse t on; the baseline
    b_t is a constant here. With a discount below 1 it is no gradient of E[R_1], in which later terms would
    count less: each place is moved by its own return, with the same weight.

    Args:
        normaliser: of a Gaussian policy, see `hardattn.model.policies.GaussianPolicy`. With it the place of
            log pi is taken by log pi less the normaliser, about -|l_t - mu_t|^2 / (2 sigma^2) where no
            border is near. The gradient to the means is the same; that to a learned deviation is no longer
            that of the expected return.
        expected: (B, T) the baseline; None: the network's own.
    """
    advantage = returns - (rollout.baseline.float() if expected is None else expected).detach()
    score = rollout.log_prob if normaliser is None else rollout.log_prob - normaliser
    return mean_over((-advantage * score)[:, rollout.chosen].sum(1), unsupervised)


def baseline(rollout: Rollout, returns: Tensor, unsupervised: Tensor) -> Tensor:
    """Squared error of the expected return, averaged over glimpses and unsupervised images."""
    return mean_over((rollout.baseline.float() - returns).square()[:, rollout.chosen], unsupervised)
