"""What is settled before anything is trained: which images train q, and which places are candidates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from boed.search.pooling import pooled_to
from boed.search.proposal import choose_places, ridge_information
from data.dataset import Split
from data.errors import DataError, SettingsError
from data.geometry import Geometry
from data.stages import stage

BANK_SHARE, BANK_MOST, FEWEST = 0.28, 8000, 8
PROPOSAL_PLACES, CODEBOOK_IMAGES = 700, 2000
TELLING = 0.1  # nats of linear information by which a place is worth looking at more often
SMALL_GRID = 200  # locations that are taken whole
SPACING, WIDE_SPACING = 0.75, 0.5  # of a place's side, between those of a codebook


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


@stage("codebook")
def codebook(
    split: Split, rows: Tensor, geometry: Geometry, *, places: int, glimpses: int, classes: int
) -> tuple[Tensor, Tensor]:
    """(L, 3) places, most informative first, and their information (L,) in nats.

    With squares of several sides every side has places among them. Of several attributes the information is
    (L, A), and a place counts as much as it does for the attribute that it tells most of, compared with that
    attribute's best place.

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
    grid = geometry.grid()
    locations = torch.cat([thinned(part.locations) for part in grid.parts]).to(split.images.device)
    information = ridge_information(sample, locations, geometry.retina(), classes, pooled=pooled_to(geometry))
    everything = len(grid) <= max(places, SMALL_GRID)
    count = len(locations) if everything else places
    spacing = 0.0 if everything else own_spacing(locations.cpu(), geometry)
    best = information.view(len(locations), -1)
    worth = best / best.amax(0).clamp(min=1e-6) if best.shape[1] > 1 else best
    chosen = choose_mixed(worth.amax(1).cpu(), locations.cpu(), count, spacing).to(locations.device)
    if len(chosen) < glimpses:
        raise SettingsError(
            f"expected at least {glimpses} places for as many glimpses, found {len(chosen)}; "
            "ask for fewer glimpses or more places"
        )
    return locations[chosen], information[chosen]


def thinned(locations: Tensor) -> Tensor:
    """Every second row and column, or fewer, of many places of one side: close enough to find the best."""
    if len(locations) <= PROPOSAL_PLACES:
        return locations
    step = math.ceil(math.sqrt(len(locations) / PROPOSAL_PLACES))
    keep = [torch.isin(locations[:, a], locations[:, a].unique()[::step]) for a in (0, 1)]
    return locations[keep[0] & keep[1]]


def own_spacing(locations: Tensor, geometry: Geometry) -> Tensor:
    """(L,) how far from each place others of its side are to lie, in sides: wide ones have little room."""
    plain = locations[:, 2] == geometry.glimpse_size
    return torch.where(plain, SPACING, WIDE_SPACING)


def choose_mixed(information: Tensor, locations: Tensor, count: int, spacing: float | Tensor) -> Tensor:
    """As `boed.search.proposal.choose_places`, such that every side has its share.

    What a narrow square shows by itself may be less than what most wide ones do, and still be what is missing
    after one of these. So the best of each side come in, up to its share of `count`, then the best of all.

    >>> places = torch.tensor([[0, 0, 4], [0, 4, 4], [0, 8, 4], [0, 0, 8], [0, 8, 8]])
    >>> choose_mixed(torch.tensor([1.0, 2.0, 3.0, 5.0, 4.0]), places, count=2, spacing=1.0).tolist()
    [3, 2]
    """
    chosen = choose_places(information, locations, len(locations), spacing)  # best first
    sides = locations[chosen, 2]
    same = sides[:, None] == sides
    rank = (same & torch.ones_like(same).tril(-1)).sum(1)  # among those of its side
    beyond = rank >= count // len(sides.unique())
    return chosen[beyond.long().argsort(stable=True)[:count].sort().values]


def place_probabilities(information: Tensor) -> Tensor:
    """(A, L) informative places more often, every place sometimes; of information (L,) or (L, A).

    Where no place tells much by itself the differences are noise, and all places are about as likely.
    """
    information = information.view(len(information), -1).T
    scale = information.amax(1, keepdim=True).clamp(min=TELLING) / 3
    return 0.7 * (information / scale).softmax(1) + 0.3 / information.shape[1]
