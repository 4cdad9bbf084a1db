r"""The terms of wake-sleep: weighted trajectories, and how an inference network learns from them.

Ba, Salakhutdinov, Grosse, Frey 2015 (arXiv 1509.06812), section 3, after reweighted wake-sleep (Bornschein
and Bengio 2015, arXiv 1406.2751). Of each image M trajectories $a^m \sim q(a \mid x, y)$; their weights

$\tilde w_m \propto \frac{p(y \mid a^m) \, p(a^m)}{q(a^m \mid x, y)}, \quad
\tilde v_m \propto \frac{p(a^m)}{q(a^m \mid x, y)}, \quad \sum_m \tilde w_m = \sum_m \tilde v_m = 1,$

are constants to the gradient. Each term is a mean over images. Shapes: B images, M trajectories, T glimpses.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from hardattn.model.rollout import Rollout


@dataclass(frozen=True)
class Trajectories:
    """M of each of B images, with log-probabilities (B, M).

    Attributes:
        log_likelihood: of the label, log p(y | a).
        log_p: of the path, by the network.
        log_q: of the path, by what proposed it.

    >>> import torch
    >>> paths = Trajectories(torch.tensor([[0.25, 0.75]]).log(), torch.zeros(1, 2), torch.zeros(1, 2))
    >>> paths.weights, paths.prior_weights
    (tensor([[0.2500, 0.7500]]), tensor([[0.5000, 0.5000]]))
    """

    log_likelihood: Tensor
    log_p: Tensor
    log_q: Tensor

    @classmethod
    def of(
        cls, rollout: Rollout, labels: Tensor, trajectories: int, log_q: Tensor | None = None
    ) -> Trajectories:
        """Those of a rollout.

        Args:
            rollout: of M successive trajectories of each image, B * M.
            labels: (B * M,).
            trajectories: M.
            log_q: (B * M,) of the paths; None: the network's policy proposed them itself.
        """
        log_likelihood = -cross_entropy(rollout.logits[:, -1].float(), labels, reduction="none")
        log_p = rollout.log_prob.sum(1)
        each = (log_likelihood, log_p, log_p if log_q is None else log_q)
        return cls(*(values.view(-1, trajectories) for values in each))

    @property
    def weights(self) -> Tensor:
        """(B, M) of the posterior of the paths, constants."""
        return (self.log_likelihood + self.log_p - self.log_q).detach().softmax(1)

    @property
    def prior_weights(self) -> Tensor:
        """(B, M) of their prior, constants: 1/M where the policy proposes."""
        return (self.log_p - self.log_q).detach().softmax(1)


def wake(paths: Trajectories) -> Tensor:
    r"""What teaches the network:

    $-\sum_m \tilde w_m \log p(y \mid a^m) - \sum_m (\tilde w_m - \tilde v_m) \log p(a^m)$.

    Its gradient estimates that of $-\log p(y \mid x) = -\log \sum_a p(a) \, p(y \mid a)$; the prior weights
    are a control variate, as the score of the prior is 0 in the mean.
    """
    score = (paths.weights - paths.prior_weights) * paths.log_p
    return -(paths.weights * paths.log_likelihood + score).sum(1).mean()


def wake_inference(paths: Trajectories) -> Tensor:
    r"""What teaches q awake: $-\sum_m \tilde w_m \log q(a^m \mid x, y)$.

    Its gradient estimates that of $\mathrm{KL}(p(a \mid x, y) \,\|\, q(a \mid x, y))$.
    """
    return -(paths.weights * paths.log_q).sum(1).mean()


def asleep(log_q: Tensor) -> Tensor:
    r"""What teaches q asleep: $-\log q(a \mid x, y)$ of paths and classes that were drawn from the network.

    Args:
        log_q: (B,) one for each image.
    """
    return -log_q.mean()
