"""A bank of labelled images at candidate places: glimpses and q's statistics, kept where memory allows."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from boed.estimators.choices import MEMORY_GB
from boed.estimators.epe import candidate_scores
from boed.posteriors.posterior import Posterior
from data.dataset import Split
from data.geometry import Geometry
from data.grey import GREY_STEPS, grey_levels

TOGETHER_IMAGES = 20  # whose scores at all places are computed at a time
EMBED_VALUES = 4_000_000  # glimpse values, or values of statistics, that go through q at a time


@torch.no_grad()
def embed_places(
    q: Posterior, images: Tensor, rows: Tensor, places: Tensor, geometry: Geometry, width: int = 0
) -> Iterator[Tensor]:
    """q's statistics (b, L, D) of the images `rows`, block by block, at every place (L, 3).

    A block is small enough that neither its glimpses nor its statistics, of size `width`, take much memory.
    """
    retina, centres = geometry.retina(), geometry.centres(places)
    channels, size, _ = geometry.glimpse_shape()
    block = max(1, EMBED_VALUES // (len(places) * max(width, channels * size**2)))
    for some in rows.split(block):
        glimpses = retina(images, some, places.expand(len(some), -1, -1))
        yield q.embed(glimpses, centres.expand(len(some), -1, -1))


class Bank:
    """What the search asks of M labelled images at L places, within a budget of memory.

    The statistics (M, L, D) of q and the glimpses themselves serve every step of every image that is designed
    for. Each is computed once and kept when it fits what is left of the budget, and otherwise computed again
    for the images asked for.

    Args:
        q: posterior.
        split: the images.
        places: (L, 3).
        geometry: sensor and grid.
        memory_gb: budget for what is kept, in 2**30 bytes.
    """

    def __init__(
        self, q: Posterior, split: Split, places: Tensor, geometry: Geometry, memory_gb: float = MEMORY_GB
    ) -> None:
        self.q, self.split, self.places, self.geometry = q, split, places, geometry
        self.labels, self.memory_gb = split.labels, memory_gb
        self._left = memory_gb * 2**30
        self._rows = torch.arange(len(split), device=places.device)
        self._kept_glimpses: dict[int, Tensor] = {}
        self._kept_statistics: Tensor | None = None
        self._width = next(embed_places(q, split.images, self._rows[:1], places[:1], geometry)).shape[-1]
        size = 4 * len(split) * len(places) * self._width
        if size <= self._left:
            self._left -= size
            self._kept_statistics = torch.empty(
                len(split), len(places), self._width, device=places.device
            )  # filled in place: what is kept is never held twice
            start = 0
            for block in embed_places(q, split.images, self._rows, places, geometry, self._width):
                self._kept_statistics[start : start + len(block)] = block
                start += len(block)

    def of_attribute(self, q: Posterior, split: Split) -> Bank:
        """The same images and statistics for another head: `q` must embed glimpses as the present one."""
        other = copy.copy(self)
        other.q, other.split, other.labels = q, split, split.labels
        return other

    def __len__(self) -> int:
        return len(self.split)

    @property
    def width(self) -> int:
        """Size D of a statistic."""
        return int(self._width)

    @property
    def kept(self) -> bool:
        """Whether all statistics are in memory."""
        return self._kept_statistics is not None

    def statistics(self, rows: Tensor, places: Tensor | None = None) -> Tensor:
        """(U, L, D) float32 of the images `rows` at every place, or at those with these numbers (L',)."""
        if self._kept_statistics is not None:
            if places is None:
                return self._kept_statistics.index_select(0, rows)  # several times as fast as indexing
            pairs = rows[:, None] * len(self.places) + places
            statistics = self._kept_statistics.flatten(0, 1).index_select(0, pairs.flatten())
            return statistics.view(*pairs.shape, self._width)
        chosen = self.places if places is None else self.places[places]
        blocks = embed_places(self.q, self.split.images, rows, chosen, self.geometry, self._width)
        return torch.cat(list(blocks))

    def statistics_at(self, rows: Tensor, places: Tensor) -> Tensor:
        """(B, D) of the images `rows`, each at a place of its own (B,)."""
        if self._kept_statistics is not None:
            return self._kept_statistics[rows, places]
        locations = self.places[places]
        glimpses = self.geometry.retina()(self.split.images, rows, locations[:, None])[:, 0]
        with torch.no_grad():
            return self.q.embed(glimpses, self.geometry.centres(locations))

    def scores_after(self, rows: Tensor, totals: Tensor, count: int, score: str) -> Tensor:
        """(B, L) score of q, with their own labels, on images `rows` after one more glimpse at each place.

        Args:
            totals: (B, D) statistics of what was seen of each before.
            count: of glimpses, with this one.
            score: see `boed.estimators.epe.candidate_scores`.
        """
        parts = [
            candidate_scores(
                self.q.logits(self.q.combine(total.float(), self.statistics(some)), count),
                self.labels[some],
                score,
            )
            for total, some in zip(
                totals[:, None].split(TOGETHER_IMAGES), rows.split(TOGETHER_IMAGES), strict=True
            )
        ]
        return torch.cat(parts)

    def grey_levels(self, place: int) -> Tensor:
        """(M, S*C*G*G) double: every image's glimpse at one place, in exact multiples of a grey level."""
        if place in self._kept_glimpses:
            return self._kept_glimpses[place].double() / GREY_STEPS
        location = self.places[place].expand(len(self._rows), 1, 3)
        levels = grey_levels(self.geometry.retina()(self.split.images, self._rows, location)[:, 0])
        if 2 * levels.numel() <= self._left:
            self._left -= 2 * levels.numel()
            self._kept_glimpses[place] = (levels * GREY_STEPS).to(torch.int16)
        return levels
