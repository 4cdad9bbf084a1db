"""Search beyond greedy: plans over several glimpses on the completions of one image."""

from __future__ import annotations

import torch
from torch import Tensor

from boed.completions.retrieval import tempered
from boed.estimators.epe import candidate_scores
from boed.estimators.estimator import Completed
from boed.posteriors.posterior import Posterior
from data.gpu import sent

CANDIDATES = 8  # first places of a lookahead, the best ones by one step
BEAM_WIDTH = 8
BEAM_DEPTH = 3  # glimpses that a plan of the beam has at most
ALIKE = 0.2  # effective share of the completions that go on to explain a hypothetical glimpse


def planned(
    search: str,
    q: Posterior,
    completed: Completed,
    total: Tensor,
    count: int,
    remaining: int,
    scores: Tensor,
    score: str,
) -> tuple[Tensor, Tensor]:
    """The next place () of one image and the map (L,) behind it, when more than one glimpse remains.

    "lookahead" takes the place of the smallest expected score after *two* glimpses, the second chosen in the
    light of the first; its map is infinite for places that one step ranks low. "beam" looks for the set of up
    to three places with the smallest expected score, chosen together, and takes the best of them by one step.

    Args:
        search: "beam" or "lookahead".
        q: posterior.
        completed: completions of the image.
        total: (D,) combined statistics of the history.
        count: glimpses so far.
        remaining: glimpses still to come, at least 2.
        scores: (L,) expected score of one more glimpse, infinite where the history looked.
        score: "cross-entropy", or "entropy" where completions have no label.
    """
    if search == "lookahead":
        scores_ahead = two_step_map(q, completed, total, count, scores, score)
        return scores_ahead.argmin(), scores_ahead
    best = best_set(q, completed, total, count, min(remaining, BEAM_DEPTH), scores, score)
    return best[scores[best].argmin()], scores


def two_step_map(
    q: Posterior, completed: Completed, total: Tensor, count: int, scores: Tensor, score: str
) -> Tensor:
    r"""$V(l) = E_n \min_{l'} \sum_m k_l(n, m)\, s_m(l, l')$, (L,); infinite but for the best by one step.

    s_m is the score of completion m after both glimpses. The kernel k weighs the completions m by how much
    they look like completion n at l, in the statistics of q: what would be known after seeing n there.
    """
    ahead = torch.full_like(scores, torch.inf)
    seen = scores.isinf()
    for place in scores.topk(min(CANDIDATES, int((~seen).sum())), largest=False).indices.tolist():
        shown = completed.statistics[:, place]  # (N, D)
        after = _scores(q, completed, q.combine(total, shown), count + 2, score)
        distances = torch.cdist(shown.double(), shown.double()).square()
        kernel = tempered(distances, max(1.0, ALIKE * len(shown)), completed.weights).exp()
        expected = (kernel @ after).masked_fill(seen, torch.inf)  # (N, L)
        expected[:, place] = torch.inf
        ahead[place] = completed.weights.double() @ expected.amin(1)
    return ahead


def best_set(
    q: Posterior,
    completed: Completed,
    total: Tensor,
    count: int,
    depth: int,
    scores: Tensor,
    score: str,
) -> Tensor:
    """(depth,) the places that a beam search finds to have the smallest expected score together."""
    beam = [[place] for _, place in _smallest(scores)]
    for size in range(2, depth + 1):
        longer: dict[tuple[int, ...], float] = {}
        for places in beam:
            chosen = sent(torch.tensor(places), scores.device)
            known = q.combine(total, q.combined(completed.statistics[:, chosen], 1))  # (N, D)
            after = _scores(q, completed, known, count + size, score)
            expected = (completed.weights.double() @ after).masked_fill(scores.isinf(), torch.inf)
            expected[chosen] = torch.inf
            for value, place in _smallest(expected):
                longer[tuple(sorted([*places, place]))] = value
        beam = [list(places) for places in sorted(longer, key=lambda key: longer[key])[:BEAM_WIDTH]]
    return torch.tensor(beam[0], device=scores.device)


def _smallest(values: Tensor) -> list[tuple[float, int]]:
    """The smallest finite values (L,) with their places: as many as the beam is wide, where there are."""
    smallest = values.topk(min(BEAM_WIDTH, int(values.isfinite().sum())), largest=False)
    return list(zip(smallest.values.tolist(), smallest.indices.tolist(), strict=True))


def _scores(q: Posterior, completed: Completed, known: Tensor, count: int, score: str) -> Tensor:
    """(N, L) double after one more glimpse at each place, from what is known before, (N, D)."""
    totals = q.combine(known[:, None], completed.statistics)  # (N, L, D)
    nothing = torch.zeros(len(totals), dtype=torch.int64, device=totals.device)
    labels = nothing if completed.labels is None else completed.labels
    return candidate_scores(q.logits(totals, count), labels, score).double()
