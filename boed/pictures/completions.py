"""A picture of completions: what an image may look like, after each glimpse of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.completions.completion import Completion
from boed.completions.retrieval import RetrievalCompletion
from boed.estimators.bank import Bank
from boed.estimators.bank_belief import BankBelief
from boed.pictures.glimpses import draw_image, draw_squares, only_seen, row_of
from data.dataset import Split
from data.drawing import figure_of
from data.files import write_atomically
from data.geometry import Geometry

SHOWN = 6  # completions of an image after each glimpse
PANEL = 1.1  # inches


@dataclass(frozen=True)
class Completions:
    """Whole images that an image may be, after some of its glimpses.

    Attributes:
        images: (S, H, W, C) uint8.
        labels: (S,) of each; None of images that are made, which have no label.
        shares: (S,) their weights in the belief, falling; as large as each other of images that are made.
    """

    images: Tensor
    labels: Tensor | None
    shares: Tensor


def completions_of(
    fitted: Approximations, split: Split, row: int, places: Tensor, shown: int = SHOWN
) -> list[Completions]:
    """Completions of one image after each of its glimpses at places (T, 3), anywhere.

    Of a bank the images with the largest weights in the joint belief of q and r, see
    `boed.estimators.bank_belief.BankBelief`; of a completion that makes images some draws, fixed by the
    image's id.
    """
    rows = torch.tensor([row])
    glimpses = fitted.geometry.retina()(split.images, rows, places[None])  # (1, T, S*C, G, G)
    if fitted.generator is not None:
        made = _made(fitted.generator, glimpses, places[None], int(split.ids[row]), shown)
        return [Completions(images, None, torch.full((shown,), 1 / shown)) for images in made]
    return list(_weighted(fitted, split, rows, glimpses, places, shown))


def _made(
    generator: Completion, glimpses: Tensor, places: Tensor, image_id: int, shown: int
) -> Iterator[Tensor]:
    """(S, H, W, C) draws after each glimpse."""
    for count in range(1, places.shape[1] + 1):
        noise = np.random.default_rng([image_id, count]).standard_normal((1, shown, generator.noise))
        seen = (glimpses[:, :count], places[:, :count])
        yield generator.complete(*seen, torch.from_numpy(noise).float())[0]


@torch.no_grad()
def _weighted(
    fitted: Approximations, split: Split, rows: Tensor, glimpses: Tensor, places: Tensor, shown: int
) -> Iterator[Completions]:
    """Images of the bank with their weights after each glimpse."""
    geometry, q = fitted.geometry, fitted.q
    bank = Bank(q, fitted.bank, places, geometry)
    retrieval = fitted.retrieval or RetrievalCompletion(fitted.bank, geometry.retina())
    offsets, excluded = torch.zeros(1, len(places)), fitted.excluded(split, rows)
    belief = BankBelief(bank, retrieval, offsets, shown, fitted.combination.score, excluded)
    totals = q.prefixes(q.embed(glimpses, geometry.centres(places[None])))[0]  # (T, D)
    for number in range(len(places)):
        belief.observe(glimpses[:, number], torch.tensor([number]))
        weights = belief.weights(totals[number, None].clone())[0].exp()
        shares, chosen = weights.topk(min(shown, len(weights)))
        yield Completions(fitted.bank.images[chosen], fitted.bank.labels[chosen], shares)


def draw_completions(
    path: Path,
    split: Split,
    ids: Sequence[int],
    places: Tensor,
    completions: Sequence[Sequence[Completions]],
    classes: Sequence[str],
    geometry: Geometry,
) -> None:
    """Writes a PNG: a row after each glimpse, with what was seen and the completions.

    Args:
        split: holds the images `ids` (B).
        places: (B, T, 3).
        completions: (B, T).
        classes: names of the K classes.
    """
    steps, columns = places.shape[1], 1 + max(len(each.images) for own in completions for each in own)
    figure = figure_of(PANEL * columns, (PANEL + 0.2) * steps * len(ids))
    panels = figure.subplots(steps * len(ids), columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for number, image_id in enumerate(ids):
        image = split.images[row_of(split, image_id)]
        for step, own in enumerate(completions[number]):
            axes, looked = panels[steps * number + step], places[number, : step + 1]
            draw_image(axes[0], only_seen(image, looked).numpy())
            axes[0].set_title(f"image {image_id}, t = {step + 1}", fontsize=7)
            for panel, one, title in zip(axes[1:], own.images, titles(own, classes), strict=False):
                draw_image(panel, one.numpy())
                draw_squares(panel, looked, geometry, numbered=False)
                panel.set_title(title, fontsize=7, parse_math=False)
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=90, format="png"))


def titles(completions: Completions, classes: Sequence[str]) -> list[str]:
    """What stands above each completion: its class and weight, or that it was drawn.

    >>> images, shares = torch.zeros(1, 2, 2, 1), torch.tensor([0.251])
    >>> titles(Completions(images, torch.tensor([1]), shares), ["cat", "dog"])
    ['dog: 25.1 %']
    >>> titles(Completions(images, None, shares), ["cat", "dog"])
    ['draw 1']
    """
    if completions.labels is None:
        return [f"draw {number + 1}" for number in range(len(completions.images))]
    pairs = zip(completions.labels.tolist(), completions.shares.tolist(), strict=True)
    return [f"{classes[label]}: {100 * share:.1f} %" for label, share in pairs]
