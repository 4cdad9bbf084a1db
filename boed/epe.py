"""Expected posterior entropy of candidate locations, and its labelled upper bound."""

from __future__ import annotations

import torch
from torch import Tensor

from boed.posterior import Posterior

SCORES = ("cross-entropy", "entropy")


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats over the last dimension; zero probabilities contribute zero.

    >>> entropy(torch.tensor([0.0, 0.0])).item()
    0.6931471824645996
    """
    return torch.special.entr(logits.softmax(-1)).sum(-1)


def candidate_scores(
    q: Posterior, total: Tensor, count: int, candidates: Tensor, labels: Tensor, score: str
) -> Tensor:
    r"""Score of looking at each candidate next, for each completion.

    "entropy":        $H[q(\theta \mid y_{\le t}, y_l)]$, the plug-in of Harvey, Teng and Wood;
    "cross-entropy":  $-\log q(\theta_n \mid y_{\le t}, y_l)$, with the completion's own label. Its mean is an
    upper bound on the EPE (Barber and Agakov 2003) which overconfidence of q cannot lower.

    Args:
        q: posterior.
        total: (..., D) summed embeddings of the history, broadcast against `candidates`.
        count: number of glimpses after the candidate.
        candidates: (N, L, D) embeddings of the completions' glimpses at the candidates.
        labels: (N,) int64 labels of the completions.
        score: one of `SCORES`.

    Returns:
        (N, L) nats.
    """
    logits = q.logits(total + candidates, count)  # (N, L, K)
    if score == "entropy":
        return entropy(logits)
    chosen = labels[:, None, None].expand(*logits.shape[:-1], 1)
    return -logits.log_softmax(-1).gather(-1, chosen).squeeze(-1)


def expected_scores(
    q: Posterior,
    total: Tensor,
    count: int,
    embeddings: Tensor,
    labels: Tensor,
    completions: Tensor,
    score: str,
) -> Tensor:
    """Mean score over equally weighted completions of one image, all candidates on the same ones: (L,) nats.

    Completions that were drawn more than once are scored once.

    Args:
        total: (D,) summed embeddings of the image's history.
        embeddings: (M, L, D) embedded glimpses of the bank's images at the candidates.
        labels: (M,) labels of the bank.
        completions: (N,) bank images in increasing order: the common random numbers of this step.
    """
    drawn, times = completions.unique_consecutive(return_counts=True)
    scores = candidate_scores(q, total, count, embeddings[drawn], labels[drawn], score)
    return (times.double() / len(completions)) @ scores.double()
