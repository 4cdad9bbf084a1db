"""What is settled before anything is trained: which images train q, and which places are candidates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from boed.search.proposal import choose_places, ridge_information
from data.dataset import Split
from data.errors import DataError, SettingsError
from data.geometry import Geometry

BANK_SHARE, BANK_MOST, FEWEST = 0.28, 8000, 8
PROPOSAL_PLACES, CODEBOOK_IMAGES = 700, 2000
TELLING = 0.1  # nats of linear information by which a place is worth looking at more often
SMALL_GRID = 200  # locations that are taken whole


def partition(split: Split, seed: int) -> tuple[Tensor, Tensor]:
    """Rows that train q, and rows of the bank; images of one group stay together.

    Raises:
        DataError: there are too few images to part.
    """
    names, inverse = split.originals.unique(return_inverse=True)
    if len(names) < FEWEST:
        raise DataError(f"expected at least {FEWEST} training images, found {len(names)}; add images")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(names), generator=generator)[: max(1, round(BANK_SHARE * len(names)))]
    in_bank = torch.zeros(len(names), dtype=torch.bool)
    in_bank[chosen] = True
    bank = in_bank[inverse].nonzero().view(-1)
    bank = bank[torch.linspace(0, len(bank) - 1, min(len(bank), BANK_MOST)).long()]
    return (~in_bank[inverse]).nonzero().view(-1).to(split.ids.device), bank.to(split.ids.device)


def codebook(
    split: Split, rows: Tensor, geometry: Geometry, *, places: int, glimpses: int, classes: int
) -> tuple[Tensor, Tensor]:
    """(L, 3) places, most informative first, and their information (L,) in nats.

    Of several attributes it is (L, A), and a place counts as much as it does for the attribute that it tells
    most of, compared with that attribute's best place.

    Args:
        split, rows: images that train q.
        geometry: a grid of up to 200 locations is taken whole.
        places: L.
        glimpses: the fewest places that will do.
        classes: K.

    Raises:
        SettingsError: fewer places than glimpses.
    """
    sample = split.take(rows[:: max(1, len(rows) // CODEBOOK_IMAGES)])
    locations = geometry.grid().locations.to(split.images.device)
    if len(locations) > PROPOSAL_PLACES:  # every second row and column is close enough to find the places
        step = math.ceil(math.sqrt(len(locations) / PROPOSAL_PLACES))
        keep = [torch.isin(locations[:, a], locations[:, a].unique()[::step]) for a in (0, 1)]
        locations = locations[keep[0] & keep[1]]
    information = ridge_information(sample, locations, geometry.retina(), classes)
    everything = len(geometry.grid()) <= max(places, SMALL_GRID)
    count, spacing = (len(locations), 0.0) if everything else (places, 0.75 * geometry.glimpse_size)
    best = information.view(len(locations), -1)
    worth = best / best.amax(0).clamp(min=1e-6) if best.shape[1] > 1 else best
    chosen = choose_places(worth.amax(1).cpu(), locations.cpu(), count, spacing).to(locations.device)
    if len(chosen) < glimpses:
        raise SettingsError(
            f"expected at least {glimpses} places for as many glimpses, found {len(chosen)}; "
            "ask for fewer glimpses or more places"
        )
    return locations[chosen], information[chosen]


def place_probabilities(information: Tensor) -> Tensor:
    """(A, L) informative places more often, every place sometimes; of information (L,) or (L, A).

    Where no place tells much by itself the differences are noise, and all places are about as likely.
    """
    information = information.view(len(information), -1).T
    scale = information.amax(1, keepdim=True).clamp(min=TELLING) / 3
    return 0.7 * (information / scale).softmax(1) + 0.3 / information.shape[1]
