"""What exact enumeration says of the designs of one combination, image by image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from boed.enumeration.exact import Enumeration, ExactDesigns, exact_along
from boed.search.designer import Designer, design_sequences
from data.dataset import Split
from data.finite import template_of
from data.measures import calibration_measure

FIRST_BLOCK = 2  # images, where the time for all of them is limited


@dataclass(frozen=True)
class Measured:
    """Of n images, for t = 1..T along their own histories, each (n, T).

    Attributes:
        epe: exact EPE of the chosen place, nats.
        regret: the same minus the smallest one of a place not yet seen, nats.
        correlation: rank correlation of the map with the exact one, over places not yet seen.
        confidence: of q in its class, after each glimpse.
        right: whether that is the image's class.
    """

    epe: Tensor
    regret: Tensor
    correlation: Tensor
    confidence: Tensor
    right: Tensor

    def __len__(self) -> int:
        return len(self.epe)

    @classmethod
    def joined(cls, parts: list[Measured]) -> Measured:
        """Those of several blocks of images."""
        return cls(*(torch.cat([getattr(part, its.name) for part in parts]) for its in fields(cls)))

    def calibration_error(self) -> list[float]:
        """Of q after each glimpse."""
        once = np.ones((1, len(self)))
        return calibration_measure(self.confidence[None], self.right[None], once).value[0].tolist()


def measure_all(
    designer: Designer,
    world: Enumeration,
    groups: dict[str, Split],
    until: float | None = None,
    *,
    adaptive: bool = True,
) -> dict[str, Measured]:
    """Designs for the images of every group, as many of each as there is time for.

    Args:
        designer: of the combination.
        world: all templates at its places.
        groups: images by the name of their group, as many of each.
        until: of the monotonic clock, when it is to be done; all groups have as many images, the first of
            each, and two at least. None: all images.
        adaptive: whether an image's own map counts; without it, it is the fixed order.
    """
    count = min(len(split) for split in groups.values())
    parts: dict[str, list[Measured]] = {name: [] for name in groups}
    for rows in _blocks(count, until):
        for name, split in groups.items():
            parts[name].append(measure(designer, world, split, rows, adaptive=adaptive))
    return {name: Measured.joined(blocks) for name, blocks in parts.items()}


def _blocks(count: int, until: float | None) -> Iterator[Tensor]:
    """Rows (b,) of blocks that double in size, until all are done or the next would take too long."""
    start, done = time.monotonic(), 0
    size = count if until is None else min(count, FIRST_BLOCK)
    while done < count:
        yield torch.arange(done, done + size)
        done += size
        size = min(done, count - done)
        now = time.monotonic()
        if until is not None and now + (now - start) * size / done > until:
            return


def measure(
    designer: Designer, world: Enumeration, split: Split, rows: Tensor, *, adaptive: bool = True
) -> Measured:
    """Designs for the images `rows` (n,) of a split, and what the truth is along them."""
    learned, steps = designer.learned, designer.learned.glimpses
    weights = designer.weights if adaptive else (0.0,) * steps
    designs = design_sequences(designer, split, rows, steps, weights, seed=learned.settings.seed)
    truth = exact_along(world, template_of(split.ids[rows]), world.index(designs.locations.cpu()))
    epe = epe_of_chosen(truth)
    ordered = designs.epe_map.cpu()[..., world.index(learned.places.cpu()).argsort()]
    correlation = [_rank_correlations(ordered[:, t], truth.epe_map[:, t]) for t in range(steps)]
    confidence, right = _beliefs(designer, split, rows, designs.locations)
    best = truth.epe_map.masked_fill(_seen_before(truth), torch.inf).amin(2)
    return Measured(epe, epe - best, torch.stack(correlation, 1), confidence, right)


def epe_of_chosen(designs: ExactDesigns) -> Tensor:
    """(B, T) exact EPE of the chosen places."""
    return designs.epe_map.gather(2, designs.places[..., None]).squeeze(2)


def _seen_before(designs: ExactDesigns) -> Tensor:
    """(B, T, L) whether a place was seen before glimpse t."""
    here = torch.nn.functional.one_hot(designs.places, designs.epe_map.shape[2])
    return (here.cumsum(1) - here).bool()


def _rank_correlations(measured: Tensor, truth: Tensor) -> Tensor:
    """(B,) Spearman correlation of maps (B, L); a map without any order counts as 0."""
    values = []
    for own, exact in zip(measured.numpy(), truth.numpy(), strict=True):
        known = np.isfinite(own)
        ranks = rankdata(own[known].round(9)), rankdata(exact[known].round(9))
        spread = min(np.std(rank) for rank in ranks)
        values.append(float(np.corrcoef(*ranks)[0, 1]) if spread > 0 else 0.0)
    return torch.tensor(values, dtype=torch.float64)


@torch.no_grad()
def _beliefs(designer: Designer, split: Split, rows: Tensor, locations: Tensor) -> tuple[Tensor, Tensor]:
    """Confidence of q after each glimpse at `locations` (B, T, 3), and whether it is right, both (B, T)."""
    learned = designer.learned
    glimpses = learned.geometry.retina()(split.images, rows, locations)
    totals = learned.q.prefixes(learned.q.embed(glimpses, learned.geometry.centres(locations)))
    parts = [learned.q.logits(totals[:, t].clone(), t + 1).softmax(-1) for t in range(locations.shape[1])]
    confidence, classes = torch.stack(parts, 1).max(-1)  # (B, T)
    return confidence, classes == split.labels[rows][:, None]
