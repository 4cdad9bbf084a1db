"""Coarse-to-fine candidates: a map is computed on every other place, and then near its smallest values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from boed.search.proposal import choose_places, separation

SPACING = 0.75  # of their side between coarse places
KEPT = 4  # coarse places that are refined


def coarse_places(locations: Tensor) -> Tensor:
    """Numbers (L',) of places (L, 3) that keep three quarters of their side apart, and cover the others.

    >>> from data.grid import LocationGrid
    >>> grid = LocationGrid.evenly((16, 16), 4, 13)
    >>> len(coarse_places(grid.locations)), len(grid)
    (25, 169)
    """
    alike = torch.zeros(len(locations))
    chosen = choose_places(alike, locations.cpu(), len(locations), SPACING)
    return chosen.to(locations.device).sort().values


def coarse_to_fine(
    evaluate: Callable[[Tensor], Tensor], locations: Tensor, seen: Tensor, cost: Tensor | float = 0.0
) -> Tensor:
    """(B, L) map that is infinite wherever it was not computed.

    Its argmin is that of the full map if, for every image, the smallest value lies within a coarse spacing of
    one of the four smallest coarse ones. That holds for a map that is smooth at that scale; how often it
    holds for a given task is what `boed generate --coarse` measures and prints.

    Args:
        evaluate: which places are wanted of each image (B, L) -> the map (B, L), infinite elsewhere.
        locations: (L, 3) all places.
        seen: (B, L) where the map must not be taken.
        cost: (L,) nats that count when the smallest are looked for.
    """
    coarse = coarse_places(locations)
    first = torch.zeros_like(seen).index_fill_(1, coarse, True)
    scores = evaluate(first)
    priced = (scores + cost).masked_fill(seen, torch.inf)[:, coarse]
    best = priced.topk(min(KEPT, len(coarse)), largest=False).indices
    near = separation(locations, locations[coarse]) <= SPACING  # (L, L')
    fine = near.T[best].any(1) & ~first  # (B, L)
    return torch.where(fine, evaluate(fine), scores)
