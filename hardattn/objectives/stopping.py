"""The terms of the loss that train the stopping heads. Each is a mean over all images.

What a head reads is detached, and so is here what it is compared with: no term shapes the network, but
for the ponder cost of one that halts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from data.gpu import constant
from hardattn.model.halting import after_each
from hardattn.model.heads import PONDER_COSTS, after, halting, require_said, stopping
from hardattn.model.rollout import Rollout
from hardattn.objectives.rewards import information, log_likelihood

SMALLEST = 1e-6  # probability, so that the logarithm of a weighted mean is finite


def gain(
    rollout: Rollout,
    labels: Tensor,
    designed: Tensor | None = None,
    supervised: Tensor | None = None,
    target: str = "realised",
) -> Tensor:
    r"""Squared error of the predicted information gain of the next glimpse, in nats squared.

    It is regressed on the realised drop of the cross-entropy,
    $\log q_{t+1}(\theta) - \log q_t(\theta)$, whose mean is the drop of the entropy where q is calibrated;
    where it is not, overconfidence gains nothing. Or on the realised drop of the entropy itself,
    $H[q_t] - H[q_{t+1}]$. Or, of supervised images, on what a design promised for the same glimpse.

    Args:
        designed: (G, T) expected information gain in nats of the designs of supervised images; None: of none.
        supervised: (B,) which images these are.
        target: of `GAIN_TARGETS`; the images without a design learn what was realised.
    """
    realised = information if target == "entropy" else log_likelihood
    wanted = realised(rollout, labels, None)
    if designed is not None and supervised is not None:
        wanted = wanted.masked_scatter(supervised[:, None], designed.to(wanted))
    return (rollout.gain.float() - wanted).square().mean()


def accuracy_gain(rollout: Rollout, labels: Tensor) -> Tensor:
    """Squared error of the predicted rise of the probability of being right by the next glimpse.

    The probability is the network's own of the label: it says more of one image than whether the most likely
    class is right does.
    """
    chances = _label_chances(torch.cat([rollout.prior[:, None], rollout.logits], 1), labels)
    return (require_said(rollout.said, "accuracy_gain") - chances.diff(dim=1)).square().mean()


def act(rollout: Rollout, labels: Tensor) -> Tensor:
    r"""Adaptive computation time: $-\log \sum_t p_t \, q_t(\theta) + \tau (N + R)$, in nats, mean over costs.

    Graves 2016 (arXiv 1603.08983), the ponder cost N + R of its section 2; N is a constant to the gradient.
    The prediction is the mean of those after each glimpse, weighted by `hardattn.model.heads.halting`.
    """
    weights, taken, remainder = halting(after(require_said(rollout.said, "act")))  # (B, C, T), (B, C), (B, C)
    chances = (weights * _label_chances(rollout.logits, labels)[:, None]).sum(-1)
    return (_costed(-chances.clamp(min=SMALLEST).log(), taken + remainder)).mean()


def ponder(rollout: Rollout, cost: float) -> Tensor:
    r"""Ponder cost $\tau (N + R)$ in nats of a network that halts; its gradient shapes the state.

    Graves 2016 (arXiv 1603.08983), section 2.1; N is a constant to the gradient, that of R is minus that
    of the halting probabilities before N.

    Args:
        cost: tau, in nats for each glimpse.
    """
    _, taken, remainder = halting(after_each(require_said(rollout.said, "halting")))
    return cost * (taken + remainder).mean()


def stochastic(rollout: Rollout, labels: Tensor) -> Tensor:
    r"""Stopping at random: $\sum_t P(t) \, (-\log q_t(\theta) + \tau t)$ in nats, mean over costs.

    The expectation is exact, over the T glimpses P(t) of `hardattn.model.heads.stopping` may be the last.
    """
    last = stopping(after(require_said(rollout.said, "stochastic")))  # (B, C, T)
    number = torch.arange(1, last.shape[-1] + 1, device=last.device)
    nll = -_label_chances(rollout.logits, labels).clamp(min=SMALLEST).log()
    return _costed((last * nll[:, None]).sum(-1), (last * number).sum(-1)).mean()


def _costed(nll: Tensor, glimpses: Tensor) -> Tensor:
    """(B, C) nats of predictions and of the glimpses (B, C) that they took."""
    return nll + glimpses * constant(PONDER_COSTS, nll.device)


def _label_chances(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, T) probability of the label by logits (B, T, K), a constant."""
    probabilities = logits.detach().float().softmax(-1)
    return probabilities.gather(2, labels[:, None, None].expand(-1, logits.shape[1], 1)).squeeze(2)
