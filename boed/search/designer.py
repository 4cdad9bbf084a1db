"""Search: at each step the place with the smallest (shrunk) expected score, image by image."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.combination import require_price, require_search
from boed.estimators.bank import Bank
from boed.estimators.calibration import Calibration
from boed.estimators.choices import MEMORY_GB
from boed.estimators.epe import entropy
from boed.estimators.estimator import Belief
from boed.search.choices import COMPLETIONS, SEARCHES
from boed.search.coarse import coarse_to_fine
from boed.search.heuristics import linear_information
from boed.search.lookahead import planned
from boed.search.shrinkage import AverageMaps, shrunk
from data.dataset import Split
from data.errors import SettingsError
from data.places import pixels_at
from data.sequences import Sequences
from data.stages import stage

COMPUTED = ("bank", "average", "common_average", "linear_map")


class Designer:
    r"""What all images share: the bank, average maps, q in double precision, and how the search goes.

    Where looking has a price the search minimises the expected score plus the cost of a place,

    $l_t = \arg\min_l \; \mathrm{EPE}(l) + \lambda \, \mathrm{pixels}(l)$

    which is to maximise what is gained less what it costs. Maps have no costs in them.

    Args:
        approximations: q, r, places, estimator and weights.
        completions: N per image and step.
        search: "greedy", "beam" or "lookahead" (see `boed.search.lookahead`).
        shrink: whether an image's map is shrunk towards the average map; without, it is taken as it is.
        coarse: whether the own map is searched from coarse to fine (see `boed.search.coarse`).
        pixel_price: nats that a place must gain for each pixel that it is averaged from; greedy search.
        memory_gb: budget for what is kept of the bank.

    Raises:
        SettingsError: a search that the estimator, the score or the price cannot serve, no completions, or an
            impossible price.
    """

    def __init__(
        self,
        approximations: Approximations,
        *,
        completions: int = COMPLETIONS,
        search: str = SEARCHES[0],
        shrink: bool = True,
        coarse: bool = False,
        pixel_price: float = 0.0,
        memory_gb: float = MEMORY_GB,
    ) -> None:
        if search not in SEARCHES:
            raise SettingsError(f"expected a search of {', '.join(SEARCHES)}; found {search!r}")
        require_search(approximations.combination, search, coarse)
        if completions < 1:
            raise SettingsError(f"expected at least 1 completion, found {completions}")
        require_price(pixel_price, search)
        self.learned, self.completions, self.search, self.coarse = approximations, completions, search, coarse
        self.score = approximations.combination.score
        self.memory_gb = memory_gb
        self.q = copy.deepcopy(approximations.q).double()
        adaptive = shrink and search == SEARCHES[0]
        self.weights = approximations.weights if adaptive else (1.0,) * approximations.glimpses
        self.calibrations = approximations.calibrations if adaptive else ()
        self.settings: dict[str, Any] = {
            **asdict(approximations.combination),
            "completions": completions,
            "search": search,
            "shrink": adaptive,
            "coarse": coarse,
            **({"pixel_price": pixel_price} if pixel_price else {}),
        }
        pixels = pixels_at(approximations.places, approximations.geometry)
        self.cost = pixel_price * pixels.double()  # (L,) nats

    def __getstate__(self) -> dict[str, Any]:
        """To be sent elsewhere; what is computed from the rest is computed again there."""
        return {name: value for name, value in vars(self).items() if name not in COMPUTED}

    @cached_property
    def bank(self) -> Bank:
        """The bank at the places; sources that score no place do without."""
        return self.learned.embedded(self.memory_gb)

    @cached_property
    def average(self) -> AverageMaps:
        """Average maps over the bank, for each image's own history."""
        return AverageMaps(self.bank, self.score, images=self.learned.settings.trial_images)

    @cached_property
    def common_average(self) -> AverageMaps:
        """Average maps over the whole bank, for a history that all images share."""
        return AverageMaps(self.bank, self.score, whole=True)

    @cached_property
    def linear_map(self) -> Tensor:
        """(L,) information in nats of a ridge regression at every location of the grid, on the bank."""
        classes = int(self.learned.bank.labels.max()) + 1
        return linear_information(self.learned.bank, self.learned.geometry, classes)

    def prior_entropy(self) -> Tensor:
        """Entropy of the bank's labels, in nats: what is known before the first glimpse."""
        return torch.special.entr(self._shares()).sum()

    def prior_loss(self, labels: Tensor) -> Tensor:
        """(B,) -log of the share of each label (B,) in the bank, nats; one that it lacks counts as one."""
        least = 1 / len(self.learned.bank)
        return -self._shares(int(labels.max()) + 1).clamp(min=least).log()[labels]

    def _shares(self, classes: int = 0) -> Tensor:
        labels = self.learned.bank.labels
        return torch.bincount(labels, minlength=classes).double() / len(labels)


class History:
    """What has been seen of B images, and the maps that follow from it.

    An image's numbers do not depend on the images beside it in a batch: histories and distances are kept in
    double precision, and expected scores are computed image by image.

    Args:
        designer: shared parts.
        split, rows: the images (B,).
        seed: with an image's id it fixes the completions of that image.
        excluded: (B, M) bool, bank images that must not complete each image: versions of itself; or None.

    Attributes:
        common: whether all images have looked at the same places by rule, so that one average serves all.
    """

    def __init__(
        self,
        designer: Designer,
        split: Split,
        rows: Tensor,
        *,
        seed: int,
        excluded: Tensor | None = None,
    ) -> None:
        self.designer, self.split, self.rows = designer, split, rows
        self.common = True
        places, device = designer.learned.places, designer.learned.places.device
        count = len(rows)
        self.chosen = torch.zeros(count, 0, dtype=torch.int64, device=device)
        self.seen = torch.zeros(count, len(places), dtype=torch.bool, device=device)
        self.total = torch.zeros(count, designer.bank.width, dtype=torch.float64, device=device)
        noise = image_noise(split.ids[rows], designer.learned.glimpses, seed).to(device)
        self.belief: Belief = designer.learned.belief(
            designer.bank, noise, designer.completions, excluded=excluded
        )

    @property
    def count(self) -> int:
        """Glimpses so far."""
        return self.chosen.shape[1]

    @stage("average maps")
    def average_map(self) -> Tensor:
        """(B, L) average score given where the history looked; infinite where it did."""
        average = self.designer.common_average if self.common else self.designer.average
        return average(self.chosen).masked_fill(self.seen, torch.inf)

    @stage("own maps")
    def own_map(self, wanted: Tensor | None = None) -> Tensor:
        """(B, L) expected score as each image's own estimator sees it; infinite where the history looked.

        Before anything is seen all images are alike: it is the average map. Later it is also infinite where
        it is not wanted, (B, L).
        """
        if self.count == 0:
            return self.average_map()
        scores = self.belief.own_map(self.total, self.count + 1, wanted)
        return scores.double().masked_fill(self.seen, torch.inf)

    def score_map(self, weight: float, contrast: float = 1.0) -> Tensor:
        """(B, L): the average map with `weight` of the image's own, from coarse to fine if asked.

        Prices are in nats, which differences in the map have when they are taken times `contrast`.
        """
        if weight == 0 or self.count == 0:
            return self.average_map()

        def mixed(wanted: Tensor | None = None) -> Tensor:
            own = self.own_map(wanted)
            return own if weight == 1 else shrunk(self.average_map(), own, weight)

        learned = self.designer.learned
        if not self.designer.coarse:
            return mixed()
        return coarse_to_fine(mixed, learned.places, self.seen, self.designer.cost / contrast)

    def choose(self, weight: float, read: Calibration | None = None) -> tuple[Tensor, Tensor]:
        """The next place (B,) of each image, and the map (B, L) that chose it as a calibration reads it."""
        scores = self.score_map(weight, read.contrast if read else 1.0)
        self.leave_order(weight)
        remaining = self.designer.learned.glimpses - self.count
        if self.designer.search != SEARCHES[0] and self.count > 0 and remaining > 1:
            return self._planned(scores, remaining)
        if read is None:
            return self.best(scores), scores
        return self.best(read.contrast * scores), read(scores, self.predictive_entropy())

    def best(self, scores: Tensor) -> Tensor:
        """(B,) the smallest value and price of each map (B, L) in nats; a first glance is not chosen."""
        glance = self.designer.learned.glance
        if self.count == 0 and glance is not None:
            return torch.full_like(self.rows, glance)
        return (scores + self.designer.cost).argmin(1)

    def _planned(self, scores: Tensor, remaining: int) -> tuple[Tensor, Tensor]:
        """The next place (B,) of plans over the remaining glimpses, and the maps (B, L) behind it."""
        plans = [
            planned(
                self.designer.search,
                self.designer.learned.q,
                self.belief.completed(image, self.total),
                total.float(),
                self.count,
                remaining,
                scores[image],
                self.designer.score,
            )
            for image, total in enumerate(self.total)
        ]
        return torch.stack([place for place, _ in plans]), torch.stack([found for _, found in plans])

    def leave_order(self, weight: float) -> None:
        """Notes that the next place follows from a map with `weight` of the image's own."""
        self.common = self.common and (weight == 0 or self.count == 0)

    def predictive_entropy(self) -> Tensor:
        """(B,) entropy of q given the glimpses so far; the prior's before the first."""
        if self.count == 0:
            return self.designer.prior_entropy().expand(len(self.rows))
        return entropy(self.designer.q.logits(self.total.clone(), self.count))

    @stage("glimpses and statistics")
    def look(self, places: Tensor) -> None:
        """Adds one glimpse per image, at the places (B,)."""
        learned = self.designer.learned
        glimpses = learned.geometry.retina()(self.split.images, self.rows, learned.places[places, None])[:, 0]
        centres = learned.geometry.centres(learned.places[places]).double()
        self.total = self.designer.q.combine(self.total, self.designer.q.embed(glimpses.double(), centres))
        self.belief.observe(glimpses, places)
        self.chosen = torch.cat([self.chosen, places[:, None]], 1)
        self.seen.scatter_(1, places[:, None], True)


@torch.no_grad()
def design_sequences(
    designer: Designer,
    split: Split,
    rows: Tensor,
    steps: int,
    weights: Sequence[float],
    calibrations: Sequence[Calibration] = (),
    *,
    seed: int,
) -> Sequences:
    r"""Designs for the images `rows` (B,) of `split`.

    $l_t = \arg\min_l \; (1 - w_t)\,\overline{\mathrm{EPE}}(l) + w_t\,\widehat{\mathrm{EPE}}(l)$

    where $\widehat{\mathrm{EPE}}$ is the estimator's map of the image (Harvey, Teng and Wood, arXiv
    1906.05462, for the mean over completions, the same for all places), and $\overline{\mathrm{EPE}}$ the
    average map of `boed.search.shrinkage`. With all weights 0 it is the fixed greedy order. An image that is
    in the bank does not complete itself. The values of the maps are read by `calibrations`, one for each
    step, which change no order; without any they are what the search minimises.
    """
    history = History(designer, split, rows, seed=seed, excluded=designer.learned.excluded(split, rows))
    maps, scores, entropies = [], [], [history.predictive_entropy()]
    for step in range(steps):
        read = calibrations[step] if calibrations else None
        places, found = history.choose(weights[step], read)
        maps.append(found)
        scores.append(found.gather(1, places[:, None]).squeeze(1))
        history.look(places)
        entropies.append(history.predictive_entropy())
    locations = designer.learned.places[history.chosen]
    return Sequences(locations, torch.stack(scores, 1), torch.stack(entropies, 1), torch.stack(maps, 1))


def image_noise(ids: Tensor, steps: int, seed: int) -> Tensor:
    """(B, T) uniform numbers fixed by (seed, image id) alone: never by batch, order or shard."""
    draws = [np.random.default_rng([seed, int(i)]).random(steps) for i in ids.tolist()]
    return torch.from_numpy(np.array(draws).reshape(len(ids), steps))
