"""Expected scores under completions that a generative model makes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from boed.bank import embed_places
from boed.completion import Completion
from boed.epe import expected_scores
from boed.estimators import Completed
from boed.posterior import Posterior
from data.geometry import Geometry


class GeneratedBelief:
    """The glimpses of B images so far; images that agree with them are made when a map is asked for.

    Args:
        q: posterior.
        completion: makes images.
        places: (L, 2) candidates.
        geometry: sensor and grid.
        seeds: (B,) int64, the noise of each image.
        count: number of completions N.
        score: "entropy" or "information": what is made has no label.
    """

    def __init__(
        self,
        q: Posterior,
        completion: Completion,
        places: Tensor,
        geometry: Geometry,
        seeds: Tensor,
        count: int,
        score: str,
    ) -> None:
        self.q, self.completion, self.places, self.geometry = q, completion, places, geometry
        self.seeds, self.count, self.score = seeds, count, score
        self.glimpses: list[Tensor] = []
        self.locations: list[Tensor] = []

    def observe(self, glimpses: Tensor, places: Tensor) -> None:
        """Keeps one more glimpse per image."""
        self.glimpses.append(glimpses)
        self.locations.append(self.places[places])

    def own_map(self, totals: Tensor, count: int, places: Tensor | None = None) -> Tensor:
        """(B, L) expected scores, image by image."""
        return torch.stack([self._map(n, total, count, places) for n, total in enumerate(totals)])

    def completed(self, image: int, places: Tensor | None = None) -> Completed:
        """Completions of one image, equally likely and without labels, at all places or at some (L',)."""
        noise = self._noise(image)
        seen = torch.stack([part[image] for part in self.glimpses])[None]  # (1, t, S*C, G, G)
        where = torch.stack([part[image] for part in self.locations])[None]
        images = self.completion.complete(seen, where, noise[None])[0]  # (N, H, W, C)
        rows = torch.arange(len(images), device=images.device)
        where_to = self.places if places is None else self.places[places]
        statistics = torch.cat(list(embed_places(self.q, images, rows, where_to, self.geometry)))
        return Completed(statistics, None, torch.full((len(rows),), 1 / len(rows), device=images.device))

    def _noise(self, image: int) -> Tensor:
        """(N, Z) fixed by image and number of glimpses alone."""
        random = np.random.default_rng([int(self.seeds[image]), len(self.glimpses)])
        noise = random.standard_normal((self.count, self.completion.noise))
        return torch.from_numpy(noise).float().to(self.places.device)

    def _map(self, image: int, total: Tensor, count: int, places: Tensor | None) -> Tensor:
        made = self.completed(image, places)
        nothing = torch.zeros(1, len(made.weights), dtype=torch.int64, device=total.device)
        return expected_scores(
            self.q,
            total[None].float(),
            count,
            made.statistics[None],
            nothing,
            made.weights[None],
            self.score,
        )[0]
