"""Expected scores under one joint belief: a label from q, and an image of the bank with that label."""

from __future__ import annotations

import torch
from torch import Tensor

from boed.completions.retrieval import RetrievalCompletion, effective_sample_size, joined, squared_distances
from boed.estimators.bank import Bank
from boed.estimators.epe import expected_scores
from boed.estimators.estimator import Completed, image_maps
from boed.estimators.shared_completions import expected_under_draws
from data.grey import grey_levels
from data.stages import stage

EVERY = slice(None)
BATCH_VALUES = 2**26  # statistics that go through q at a time on a GPU


class BankBelief:
    r"""Squared distances of B images to all of the bank, summed over their glimpses.

    Completions are drawn from the joint belief of q and the completion r,

    $p(\theta, x \mid y_{\le t}) = q(\theta \mid y_{\le t})\, r(x \mid \theta, y_{\le t})$,

    so that their labels have the shares that q says, see `boed.completions.retrieval.joined`. With the labels
    that retrieval alone finds the expected cross-entropy would be that of two beliefs that contradict each
    other.

    Args:
        bank: statistics and glimpses of the labelled images.
        completion: turns distances into weights and draws.
        offsets: (B, T) in [0, 1), the noise of the draws, fixed by the image.
        count: number of completions N.
        score: see `boed.estimators.epe`.
        excluded: (B, M) bool, bank images that must not complete each image: versions of itself; or None.
    """

    def __init__(
        self,
        bank: Bank,
        completion: RetrievalCompletion,
        offsets: Tensor,
        count: int,
        score: str,
        excluded: Tensor | None,
    ) -> None:
        self.bank, self.completion, self.offsets = bank, completion, offsets
        self.count, self.score, self.seen = count, score, 0
        self._distances = torch.zeros(len(offsets), len(bank), dtype=torch.float64, device=offsets.device)
        if excluded is not None:
            self._distances.masked_fill_(excluded, torch.inf)
        self._unmeasured = list[tuple[Tensor, Tensor]]()
        self._drawn: Tensor | None = None

    def observe(self, glimpses: Tensor, places: Tensor) -> None:
        """One more glimpse per image; a design that follows the fixed order never asks how far it is."""
        self._unmeasured.append((glimpses, places))
        self.seen += 1
        self._drawn = None

    @property
    def distances(self) -> Tensor:
        """(B, M) squared distances, summed over the glimpses; computed when they are asked for."""
        while self._unmeasured:
            self._measure(*self._unmeasured.pop(0))
        return self._distances

    @stage("distances")
    def _measure(self, glimpses: Tensor, places: Tensor) -> None:
        """Adds the distances of one glimpse per image."""
        levels = grey_levels(glimpses)
        for place in places.unique().tolist():
            here = (places == place).nonzero().view(-1)
            self._distances[here] += squared_distances(levels[here], self.bank.grey_levels(place))

    def weights(self, totals: Tensor, some: slice = EVERY) -> Tensor:
        """(B, M) normalised log-weights of the bank, of all images or of some, given the glimpses so far.

        Args:
            totals: (B, D) combined statistics of q.
        """
        found = self.completion.log_weights(self.distances[some])
        # as products of one row each, whose bits do not depend on the images beside it
        log_q = self.bank.q.logits(totals[some, None].float(), self.seen)[:, 0].log_softmax(-1)
        return joined(found, self.bank.labels, log_q.to(found.dtype))

    def sample_size(self, totals: Tensor) -> Tensor:
        """(B,) effective sample size now."""
        return effective_sample_size(self.weights(totals)).squeeze(1)

    def own_map(self, totals: Tensor, count: int, wanted: Tensor | None = None) -> Tensor:
        """(B, L) expected scores; on the CPU no bit of an image's map depends on the batch."""
        drawn = self._drawn_for(totals)
        if totals.device.type != "cpu":
            return self._together_where(totals, drawn, count, wanted)
        if wanted is None and self.score != "information":
            return expected_under_draws(self.bank, totals, drawn, count, self.score)
        return self._image_by_image(totals, drawn, count, wanted)

    def completed(self, image: int, totals: Tensor) -> Completed:
        """The drawn bank images with their labels."""
        some = slice(image, image + 1)
        rows, times = self._draw(totals, some)[0].unique(return_counts=True)
        return Completed(self.bank.statistics(rows), self.bank.labels[rows], times.double() / times.sum())

    def _drawn_for(self, totals: Tensor) -> Tensor:
        """(B, N) of all images: the same until the next glimpse, for a map in parts."""
        if self._drawn is None:
            self._drawn = self._draw(totals)
        return self._drawn

    def _draw(self, totals: Tensor, some: slice = EVERY) -> Tensor:
        """(B, N) bank images of all images or of some."""
        weights = self.weights(totals, some)
        return self.completion.draw(weights, self.count, self.offsets[some, self.seen - 1])

    def _block_rows(self, places: Tensor | None) -> int:
        """How many completions go through q at a time."""
        candidates = len(self.bank.places) if places is None else len(places)
        return max(1, BATCH_VALUES // (candidates * self.bank.width))

    def _together_where(self, totals: Tensor, drawn: Tensor, count: int, wanted: Tensor | None) -> Tensor:
        """(B, L) where one large block is the fastest: at the places that any image wants."""
        if wanted is None:
            return self._together(totals, drawn, count, None)
        scores = torch.full(wanted.shape, torch.inf, dtype=torch.float64, device=wanted.device)
        places = wanted.any(0).nonzero().view(-1)
        if len(places):
            scores[:, places] = self._together(totals, drawn, count, places)
        return scores.masked_fill(~wanted, torch.inf)

    def _together(self, totals: Tensor, drawn: Tensor, count: int, places: Tensor | None) -> Tensor:
        """(B, L'), as many images at a time as go through q at once."""
        some = max(1, self._block_rows(places) // self.count)
        weights = torch.full_like(drawn, 1 / self.count, dtype=torch.float64)
        blocks = zip(totals.split(some), drawn.split(some), weights.split(some), strict=True)
        return torch.cat([self._expected(t, rows, w, count, places) for t, rows, w in blocks])

    def _image_by_image(self, totals: Tensor, drawn: Tensor, count: int, wanted: Tensor | None) -> Tensor:
        """(B, L) where images want different places, or a score needs all completions of an image at once."""
        return image_maps(
            len(totals), wanted, lambda n, places: self._one(totals[n], drawn[n], count, places)
        )

    def _one(self, total: Tensor, drawn: Tensor, count: int, places: Tensor | None) -> Tensor:
        """(L',) of one image; what was drawn more than once is scored once."""
        rows, times = drawn.unique_consecutive(return_counts=True)
        weights = times.double() / times.sum()
        size = (
            len(rows) if self.score == "information" else self._block_rows(places)
        )  # no sum over completions
        blocks = zip(rows.split(size), weights.split(size), strict=True)
        parts = [self._expected(total[None], r[None], w[None], count, places)[0] for r, w in blocks]
        return torch.stack(parts).sum(0)

    def _expected(
        self, totals: Tensor, rows: Tensor, weights: Tensor, count: int, places: Tensor | None
    ) -> Tensor:
        statistics = self.bank.statistics(rows.flatten(), places)
        candidates = statistics.view(*rows.shape, *statistics.shape[1:])
        labels = self.bank.labels[rows]
        return expected_scores(self.bank.q, totals.float(), count, candidates, labels, weights, self.score)
