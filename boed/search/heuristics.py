"""Sequences without a design: what a design has to beat.

- *centre*: the places nearest the middle of the image, the same for all images.
- *saliency*: places drawn from the map of the first step, each image its own. Harvey, Teng and Wood (arXiv
  1906.05462) have such a heuristic, more likely to look where their posterior finds more; their code leaves
  its formula out, so how much more likely is a parameter here.
- *linear*: the places at which a ridge regression reads the class best, the same for all images.

Each returns places (N, T, 3), distinct within a sequence.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from boed.search.pooling import pooled_to
from boed.search.proposal import choose_places, ridge_information
from data.dataset import Split
from data.errors import SettingsError
from data.geometry import Geometry

SHARPNESS = (1.0, 5.0, 50.0)  # k: on a map of some tenths of a nat from nearly uniform to nearly greedy
SPACING = 0.75  # of a glimpse


def centre_sequences(geometry: Geometry, count: int, glimpses: int) -> Tensor:
    """The places of the grid whose glimpses are nearest the image centre, nearest first, for all images.

    Of equally near places the smallest one comes first, then the upper one, then the left one.

    Args:
        geometry: of the grid.
        count: N.
        glimpses: T.

    Returns:
        (N, T, 3) int64.

    Raises:
        SettingsError: there are fewer places than glimpses.

    >>> centre_sequences(Geometry(60, 60, 1, glimpse_size=12, per_axis=13), count=2, glimpses=3)[1].tolist()
    [[24, 24, 12], [20, 24, 12], [24, 20, 12]]
    """
    locations = geometry.grid().locations
    _require(glimpses, len(locations), "more grid positions")
    extent = torch.tensor([geometry.height, geometry.width])
    distance = (2 * locations[:, :2] + locations[:, 2:] - extent).square().sum(-1)  # exact: ties are ties
    return _for_all(locations[distance.argsort(stable=True)[:glimpses]], count)


def saliency_sequences(
    epe_map: Tensor, locations: Tensor, ids: Tensor, glimpses: int, *, k: float, seed: int
) -> Tensor:
    r"""Places drawn without replacement from the expected posterior entropies of the first step.

    $l_t \sim p(l) \propto \exp(-k \, \mathrm{EPE}(l))$ over the places not yet taken

    by an exponential race: an image's noise depends on (seed, image id) alone, so its sequence does not
    depend on the images beside it, and it keeps its noise when k or the map changes. For a map of
    information gains pass its negative: the constant between them does not matter.

    Args:
        epe_map: (L,) nats; a place with an infinite value is never taken.
        locations: (L, 3) places.
        ids: (N,) image ids.
        glimpses: T.
        k: how strongly low values are preferred, per nat; 0 is uniform. See `SHARPNESS`.
        seed: of the draws.

    Returns:
        (N, T, 3) on the device of the locations.

    Raises:
        SettingsError: k is negative or not finite, the map holds NaN, or fewer of its values are finite than
            there are glimpses.

    >>> places = torch.tensor([[0, 0, 4], [0, 8, 4], [8, 0, 4]])
    >>> saliency_sequences(torch.tensor([.6, .1, .3]), places, torch.arange(2), 2, k=500, seed=0).tolist()
    [[[0, 8, 4], [8, 0, 4]], [[0, 8, 4], [8, 0, 4]]]
    """
    if not (math.isfinite(k) and k >= 0):
        raise SettingsError(f"expected a sharpness k of at least 0, found {k}")
    if bool(epe_map.isnan().any()):
        raise SettingsError("expected a map of expected posterior entropies, found NaN; fit again")
    open_places = epe_map.isfinite().nonzero().view(-1)
    _require(glimpses, len(open_places), "places that are finite in the map")
    draws = [np.random.default_rng([seed, int(i)]).standard_exponential(len(epe_map)) for i in ids.tolist()]
    noise = torch.from_numpy(np.array(draws).reshape(len(ids), len(epe_map))).to(epe_map.device)
    race = (noise.log() + k * epe_map.double())[:, open_places]  # the first at the line is taken first
    return locations[open_places[race.topk(glimpses, largest=False).indices].to(locations.device)]


def linear_information(
    train: Split, geometry: Geometry, classes: int, *, rows: int = 2000, labels: Tensor | None = None
) -> Tensor:
    """Held-out information of a ridge regression at every location of the whole grid, in nats.

    See `boed.search.proposal.ridge_information`, which has the formula. 2,500 locations and 2,000 images take
    some five seconds of one core, for one target or for forty.

    Args:
        train: images and labels that nothing is evaluated on.
        geometry: sensor and grid.
        classes: K.
        rows: at most this many images are used.
        labels: (N,) or (N, A), in the place of the split's.

    Returns:
        (L,) nats, or (L, A) for labels (N, A).
    """
    locations, pooled = geometry.grid().locations.to(train.images.device), pooled_to(geometry)
    return ridge_information(
        train, locations, geometry.retina(), classes, rows=rows, labels=labels, pooled=pooled
    )


def linear_sequences(information: Tensor, geometry: Geometry, count: int, glimpses: int) -> Tensor:
    """The most informative places that keep three quarters of their side apart, for all images.

    Args:
        information: (L,) nats, from `linear_information`.
        geometry: of the grid.
        count: N.
        glimpses: T.

    Returns:
        (N, T, 3) int64, the most informative first.

    Raises:
        SettingsError: fewer places than glimpses keep apart.

    >>> geometry = Geometry(20, 20, 1, glimpse_size=8, per_axis=3)
    >>> linear_sequences(torch.arange(9.0), geometry, count=1, glimpses=2).tolist()
    [[[12, 12, 8], [12, 6, 8]]]
    """
    locations = geometry.grid().locations
    chosen = choose_places(information.cpu(), locations, glimpses, SPACING)
    _require(glimpses, len(chosen), f"places {SPACING:g} of a glimpse apart")
    return _for_all(locations[chosen], count)


def _for_all(places: Tensor, count: int) -> Tensor:
    return places.expand(count, -1, -1).clone()


def _require(glimpses: int, found: int, what: str) -> None:
    if not 1 <= glimpses <= found:
        raise SettingsError(
            f"expected 1 to {found} glimpses, found {glimpses}; ask for fewer, or have {what}"
        )
