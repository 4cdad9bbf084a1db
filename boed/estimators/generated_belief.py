"""Expected scores under completions that a generative model makes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from boed.completions.completion import Completion
from boed.estimators.bank import embed_places
from boed.estimators.epe import expected_scores
from boed.estimators.estimator import Completed, image_maps
from boed.posteriors.posterior import Posterior
from data.geometry import Geometry

KEPT_BYTES = 2**30  # of completions, for another look at them before the next glimpse


class GeneratedBelief:
    """The glimpses of B images so far; images that agree with them are made when a map is asked for.

    Args:
        q: posterior.
        completion: makes images.
        places: (L, 3) candidates.
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
        self._kept: dict[int, Tensor] = {}

    def observe(self, glimpses: Tensor, places: Tensor) -> None:
        """Keeps one more glimpse per image."""
        self.glimpses.append(glimpses)
        self.locations.append(self.places[places])
        self._kept.clear()

    def own_map(self, totals: Tensor, count: int, wanted: Tensor | None = None) -> Tensor:
        """(B, L) expected scores, image by image."""
        return image_maps(len(totals), wanted, lambda image, places: self._map(image, totals, count, places))

    def completed(self, image: int, totals: Tensor, places: Tensor | None = None) -> Completed:
        """Completions of one image, equally likely and without labels, at all places or at some (L',)."""
        images = self._images(image, keep=places is not None)
        rows = torch.arange(len(images), device=images.device)
        where_to = self.places if places is None else self.places[places]
        statistics = torch.cat(list(embed_places(self.q, images, rows, where_to, self.geometry)))
        return Completed(statistics, None, torch.full((len(rows),), 1 / len(rows), device=images.device))

    def history(self) -> tuple[Tensor, Tensor]:
        """Glimpses (B, t, S*C, G, G) so far, and where they are (B, t, 3)."""
        return torch.stack(self.glimpses, 1), torch.stack(self.locations, 1)

    def _images(self, image: int, *, keep: bool) -> Tensor:
        """(N, H, W, C) completions of one image, kept where there is room if its other places may follow."""
        if image in self._kept:
            return self._kept[image]
        seen = torch.stack([part[image] for part in self.glimpses])[None]  # (1, t, S*C, G, G)
        where = torch.stack([part[image] for part in self.locations])[None]
        images = self.completion.complete(seen, where, self._noise(image)[None])[0]
        if keep and (len(self._kept) + 1) * images.nbytes <= KEPT_BYTES:
            self._kept[image] = images
        return images

    def _noise(self, image: int) -> Tensor:
        """(N, Z) fixed by image and number of glimpses alone."""
        random = np.random.default_rng([int(self.seeds[image]), len(self.glimpses)])
        noise = random.standard_normal((self.count, self.completion.noise))
        return torch.from_numpy(noise).float().to(self.places.device)

    def _map(self, image: int, totals: Tensor, count: int, places: Tensor | None) -> Tensor:
        made = self.completed(image, totals, places)
        nothing = torch.zeros(1, len(made.weights), dtype=torch.int64, device=totals.device)
        return expected_scores(
            self.q,
            totals[image, None].float(),
            count,
            made.statistics[None],
            nothing,
            made.weights[None],
            self.score,
        )[0]
