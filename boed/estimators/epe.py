"""Expected posterior entropy of candidate locations, and its labelled upper bound."""

from __future__ import annotations

import torch
from torch import Tensor

from boed.posteriors.posterior import Posterior
from data.gpu import is_gpu


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats over the last dimension; zero probabilities contribute zero.

    >>> entropy(torch.tensor([0.0, 0.0])).item()
    0.6931471824645996
    """
    return torch.special.entr(logits.softmax(-1)).sum(-1)


def candidate_scores(logits: Tensor, labels: Tensor, score: str) -> Tensor:
    r"""Score of each candidate for each completion, from q after the candidate's glimpse.

    "cross-entropy":  $-\log q(\theta_n \mid y_{\le t}, y_l)$, with the completion's own label. Its mean is an
    upper bound on the EPE (Barber and Agakov 2003) which overconfidence of q cannot lower.

    "entropy", "information":  $H[q(\theta \mid y_{\le t}, y_l)]$, the plug-in of Harvey, Teng and Wood.

    Args:
        logits: (..., L, K).
        labels: (...) int64 labels of the completions.
        score: one of `boed.estimators.registry.SCORES`.

    Returns:
        (..., L) nats.
    """
    if score != "cross-entropy":
        return entropy(logits)
    own = labels[..., None, None].expand(*logits.shape[:-1], 1)
    return logits.logsumexp(-1) - logits.gather(-1, own).squeeze(-1)


def expected_scores(
    q: Posterior,
    totals: Tensor,
    count: int,
    candidates: Tensor,
    labels: Tensor,
    weights: Tensor,
    score: str,
) -> Tensor:
    r"""Mean score over the weighted completions of each image, all candidates on the same ones.

    "information" is $H[q_t] - (H[\bar q] - \overline{H[q]})$, where the bars are means over the completions:
    the entropy left if the information gained is the mutual information of label and glimpse under q and r.

    Args:
        totals: (B, D) combined statistics of each image's history.
        count: number of glimpses after the candidate.
        candidates: (B, N, L, D) statistics of the completions' glimpses at the candidates.
        labels: (B, N) labels of the completions; not used unless the score is the cross-entropy.
        weights: (B, N), each row sums to 1.

    Returns:
        (B, L) nats, in double precision.
    """
    logits = q.logits(q.combine(totals[:, None, None], candidates), count)  # (B, N, L, K)
    scores = candidate_scores(logits, labels, score)
    expected = weighted_mean(scores, weights)
    if score == "information":
        mixed = weighted_mean(logits.softmax(-1), weights)
        now = entropy(q.logits(totals.clone(), count - 1)).double()
        expected = expected - torch.special.entr(mixed).sum(-1) + now[:, None]
    return expected


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """(B, ...) float64 means of (B, N, ...) by weights (B, N).

    Added up in float64, so that neighbours do not matter; on a GPU, which may have little of that, in float32
    and by no product, whose digits and order are the library's to choose.
    """
    if is_gpu(values.device):
        shares = weights.to(values.dtype).view(*weights.shape, *[1] * (values.dim() - 2))
        return (shares * values).sum(1).double()
    return torch.einsum("bn,bn...->b...", weights.double(), values.double())
