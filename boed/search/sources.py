"""Sources of sequences by name; a new one is a function and a line in `SOURCES`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from boed.estimators.epe import entropy
from boed.search.designer import Designer, design_sequences
from boed.search.heuristics import (
    SHARPNESS,
    centre_sequences,
    linear_sequences,
    saliency_sequences,
)
from boed.search.registry import SOURCES
from data.dataset import Split
from data.places import after_glance
from data.sequences import Sequences

Source = Callable[[Designer, Split, Tensor, int, int], Sequences]
"""(designer, split, rows, number of glimpses, seed) -> sequences of those images."""


@SOURCES.register("design")
def design(designer: Designer, split: Split, rows: Tensor, glimpses: int, seed: int) -> Sequences:
    """The near-optimal design: the search on the shrunk map."""
    return design_sequences(
        designer, split, rows, glimpses, designer.weights, designer.calibrations, seed=seed
    )


@SOURCES.register("fixed-order")
def fixed_order(designer: Designer, split: Split, rows: Tensor, glimpses: int, seed: int) -> Sequences:
    """The same places for every image: greedy on the average map alone, over the whole bank."""
    return design_sequences(designer, split, rows, glimpses, [0.0] * glimpses, seed=seed)


@SOURCES.register("random")
def random(designer: Designer, split: Split, rows: Tensor, glimpses: int, seed: int) -> Sequences:
    """Locations drawn uniformly from the whole grid, without replacement; every side as often as another."""
    grid, places = designer.learned.geometry.grid(), beside_glance(designer, glimpses)
    alike = [np.full(len(part), 1 / len(part) / len(grid.parts)) for part in grid.parts]
    shares = np.concatenate(alike) if len(alike) > 1 else None  # of one side all are alike
    drawn = [
        np.random.default_rng([seed, int(i)]).choice(len(grid), places, replace=False, p=shares)
        for i in split.ids[rows].tolist()
    ]
    return without_maps(designer, split, rows, grid.locations[torch.from_numpy(np.array(drawn))])


@SOURCES.register("centre")
def centre(designer: Designer, split: Split, rows: Tensor, glimpses: int, seed: int) -> Sequences:
    """The places nearest the centre of the image, the same for every image."""
    places = beside_glance(designer, glimpses)
    return without_maps(designer, split, rows, centre_sequences(designer.learned.geometry, len(rows), places))


@SOURCES.register("linear")
def linear(designer: Designer, split: Split, rows: Tensor, glimpses: int, seed: int) -> Sequences:
    """The most informative places of a ridge regression on the bank, the same for every image."""
    geometry = designer.learned.geometry
    sequences = linear_sequences(designer.linear_map, geometry, len(rows), beside_glance(designer, glimpses))
    return without_maps(designer, split, rows, sequences)


def saliency(sharpness: float) -> Source:
    """Places sampled from the average map before the first of them, sharply (large k) or not."""

    def draw(designer: Designer, split: Split, rows: Tensor, glimpses: int, seed: int) -> Sequences:
        learned = designer.learned
        before = torch.tensor([[] if learned.glance is None else [learned.glance]], dtype=torch.int64)
        first = designer.average(before)[0].index_fill(0, before[0].to(learned.places.device), torch.inf)
        places = beside_glance(designer, glimpses)
        drawn = saliency_sequences(first, learned.places, split.ids[rows], places, k=sharpness, seed=seed)
        return without_maps(designer, split, rows, drawn)

    return draw


@torch.no_grad()
def without_maps(designer: Designer, split: Split, rows: Tensor, locations: Tensor) -> Sequences:
    """Given locations (B, T, 3), after a first glance if any, with the entropies of q along them; no map."""
    learned, locations = designer.learned, locations.to(split.images.device)
    if learned.glance is not None:
        locations = after_glance(locations, learned.geometry.image_size)
    glimpsed = learned.geometry.retina()(split.images, rows, locations).double()
    statistics = designer.q.embed(glimpsed, learned.geometry.centres(locations).double())
    totals = designer.q.prefixes(statistics)
    counts = torch.arange(1, locations.shape[1] + 1, device=totals.device)
    prior = designer.prior_entropy().expand(len(rows), 1)
    entropies = torch.cat([prior, entropy(designer.q.logits(totals, counts))], 1)
    return Sequences.unscored(locations, entropies)


def beside_glance(designer: Designer, glimpses: int) -> int:
    """How many of the glimpses go to places: all, or all but a first glance."""
    return glimpses - designer.learned.geometry.first_glance


for _k in SHARPNESS:
    SOURCES.register(f"saliency-{_k:g}")(saliency(_k))
