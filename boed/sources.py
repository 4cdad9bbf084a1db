"""Sources of sequences by name; a new one is a function and a line in `SOURCES`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from boed.approximations import centres_of
from boed.epe import entropy
from boed.search import Designer, Designs, greedy_designs
from data.dataset import Split

Source = Callable[[Designer, Split, Tensor, int, int], Designs]
"""(designer, split, rows, number of glimpses, seed) -> sequences of those images."""


def design(designer: Designer, split: Split, rows: Tensor, glimpses: int, seed: int) -> Designs:
    """The near-optimal design: greedy on the shrunk map."""
    return greedy_designs(designer, split, rows, glimpses, designer.learned.weights, seed=seed)


def fixed_order(designer: Designer, split: Split, rows: Tensor, glimpses: int, seed: int) -> Designs:
    """The same places for every image: greedy on the average map alone."""
    return greedy_designs(designer, split, rows, glimpses, [0.0] * glimpses, seed=seed)


@torch.no_grad()
def random(designer: Designer, split: Split, rows: Tensor, glimpses: int, seed: int) -> Designs:
    """Locations drawn uniformly from the whole grid, without replacement; no score and no map."""
    learned = designer.learned
    grid = learned.geometry.grid().locations
    drawn = [
        np.random.default_rng([seed, int(i)]).choice(len(grid), glimpses, replace=False)
        for i in split.ids[rows].tolist()
    ]
    locations = grid[torch.from_numpy(np.array(drawn))].to(split.images.device)  # (B, T, 2)
    glimpsed = learned.geometry.retina()(split.images, rows, locations).double()
    totals = designer.q.embed(glimpsed, centres_of(locations, learned.geometry).double()).cumsum(1)
    counts = torch.arange(1, glimpses + 1, device=totals.device)
    prior = designer.prior_entropy().expand(len(rows), 1)
    entropies = torch.cat([prior, entropy(designer.q.logits(totals, counts))], 1)
    nothing = torch.full((len(rows), glimpses), torch.nan, device=totals.device)
    return Designs(locations, nothing, entropies, nothing[..., None][..., :0])


SOURCES: dict[str, Source] = {"design": design, "fixed-order": fixed_order, "random": random}
