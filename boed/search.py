"""Greedy search: at each step the place with the smallest (shrunk) expected score, image by image."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boed.approximations import Approximations, centres_of
from boed.epe import entropy, expected_scores
from boed.shrinkage import AverageMaps, shrunk
from data.dataset import Split

COMPLETIONS = 100
SCORE = "cross-entropy"


@dataclass(frozen=True)
class Designs:
    """Glimpse sequences of B images.

    Attributes:
        locations: (B, T, 2) int64 top-left pixels.
        epe: (B, T) score of the chosen places, nats.
        entropy: (B, T+1) entropy of q before the first and after each glimpse, nats.
        epe_map: (B, T, L) score of every place, nats; infinite where the place was already seen.
    """

    locations: Tensor
    epe: Tensor
    entropy: Tensor
    epe_map: Tensor


class Designer:
    """What all images share: embedded bank, average maps, q in double precision.

    Args:
        approximations: q, r, places and weights.
        score: "cross-entropy" or "entropy" (see `boed.epe`).
        completions: N per image and step.
    """

    def __init__(
        self, approximations: Approximations, *, score: str = SCORE, completions: int = COMPLETIONS
    ) -> None:
        self.learned, self.score, self.completions = approximations, score, completions
        self.embeddings, self.labels = approximations.bank_embeddings, approximations.bank.labels
        self.average = AverageMaps(approximations.q, self.embeddings, self.labels, score)
        self.q = copy.deepcopy(approximations.q).double()

    def prior_entropy(self) -> Tensor:
        """Entropy of the bank's labels, in nats: what is known before the first glimpse."""
        shares = torch.bincount(self.labels).double() / len(self.labels)
        return torch.special.entr(shares).sum()


class History:
    """What has been seen of B images, and the maps that follow from it.

    An image's numbers do not depend on the images beside it in a batch: histories and distances are kept in
    double precision, and expected scores are computed image by image.

    Args:
        designer: shared parts.
        split, rows: the images (B,).
        seed: with an image's id it fixes the completions of that image.
        excluded: (B,) bank image that must not complete each image (itself), or None.
    """

    def __init__(
        self, designer: Designer, split: Split, rows: Tensor, *, seed: int, excluded: Tensor | None = None
    ) -> None:
        self.designer, self.split, self.rows = designer, split, rows
        places, device = designer.learned.places, designer.learned.places.device
        count = len(rows)
        self.chosen = torch.zeros(count, 0, dtype=torch.int64, device=device)
        self.seen = torch.zeros(count, len(places), dtype=torch.bool, device=device)
        self.total = torch.zeros(count, designer.embeddings.shape[-1], dtype=torch.float64, device=device)
        self.distances = torch.zeros(count, len(designer.labels), dtype=torch.float64, device=device)
        if excluded is not None:
            self.distances[torch.arange(count, device=device), excluded] = torch.inf
        self.offsets = image_noise(split.ids[rows], designer.learned.glimpses, seed).to(device)

    @property
    def count(self) -> int:
        """Glimpses so far."""
        return self.chosen.shape[1]

    def average_map(self) -> Tensor:
        """(B, L) average score given where the history looked; infinite where it did."""
        return self.designer.average(self.chosen).masked_fill(self.seen, torch.inf)

    def own_map(self) -> Tensor:
        """(B, L) expected score under each image's own completions.

        Before anything is seen every bank image is an equally likely completion, so it is the average map.
        """
        if self.count == 0:
            return self.average_map()
        designer = self.designer
        weights = designer.learned.completion.log_weights(self.distances)
        drawn = designer.learned.completion.draw(
            weights, designer.completions, self.offsets[:, self.count - 1]
        )
        # One image at a time: the shapes, and so the bits, are the same whatever the batch.
        return torch.stack(
            [self._expected(total, some) for total, some in zip(self.total, drawn, strict=True)]
        )

    def _expected(self, total: Tensor, completions: Tensor) -> Tensor:
        designer = self.designer
        return expected_scores(
            designer.learned.q,
            total.float(),
            self.count + 1,
            designer.embeddings,
            designer.labels,
            completions,
            designer.score,
        )

    def score_map(self, weight: float) -> Tensor:
        """(B, L): the average map with `weight` of the image's own."""
        average = self.average_map()
        return shrunk(average, self.own_map(), weight) if weight else average

    def predictive_entropy(self) -> Tensor:
        """(B,) entropy of q given the glimpses so far; the prior's before the first."""
        if self.count == 0:
            return self.designer.prior_entropy().expand(len(self.rows))
        return entropy(self.designer.q.logits(self.total, self.count))

    def look(self, places: Tensor) -> None:
        """Adds one glimpse per image, at the places (B,)."""
        learned = self.designer.learned
        glimpses = learned.geometry.retina()(self.split.images, self.rows, learned.places[places, None])[:, 0]
        centres = centres_of(learned.places[places], learned.geometry).double()
        self.total = self.total + self.designer.q.embed(glimpses.double(), centres)
        for place in places.unique().tolist():
            here = (places == place).nonzero().view(-1)
            self.distances[here] += learned.completion.squared_distances(
                glimpses[here], learned.places[place]
            )
        self.chosen = torch.cat([self.chosen, places[:, None]], 1)
        self.seen.scatter_(1, places[:, None], True)


@torch.no_grad()
def greedy_designs(
    designer: Designer, split: Split, rows: Tensor, steps: int, weights: Sequence[float], *, seed: int
) -> Designs:
    r"""Designs for the images `rows` (B,) of `split`.

    $l_t = \arg\min_l \; (1 - w_t)\,\overline{\mathrm{EPE}}(l) + w_t\,\widehat{\mathrm{EPE}}(l)$

    where the image's own $\widehat{\mathrm{EPE}}$ is the mean score over completions drawn by retrieval, the
    same for all places (Harvey, Teng and Wood, arXiv 1906.05462), and
    $\overline{\mathrm{EPE}}$ the average map of `boed.shrinkage`. With all weights 0 it is the fixed greedy
    order.
    """
    history = History(designer, split, rows, seed=seed)
    maps, entropies = [], [history.predictive_entropy()]
    for step in range(steps):
        maps.append(history.score_map(weights[step]))
        history.look(maps[-1].argmin(1))
        entropies.append(history.predictive_entropy())
    epe_map = torch.stack(maps, 1)  # (B, T, L)
    epe = epe_map.gather(2, history.chosen[..., None]).squeeze(2)
    return Designs(designer.learned.places[history.chosen], epe, torch.stack(entropies, 1), epe_map)


def image_noise(ids: Tensor, steps: int, seed: int) -> Tensor:
    """(B, T) uniform numbers fixed by (seed, image id) alone: never by batch, order or shard."""
    draws = [np.random.default_rng([seed, int(i)]).random(steps) for i in ids.tolist()]
    return torch.from_numpy(np.array(draws).reshape(len(ids), steps))
