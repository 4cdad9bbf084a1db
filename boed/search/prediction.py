"""What designs predict of images with labels, step by step, beside what comes true there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.estimators.bank import Bank
from boed.search.adaptivity import affordable
from boed.search.balance import require_every_class, thinned
from boed.search.designer import Designer, History
from data.dataset import Split
from data.device import at_device
from data.sample import sample_rows

IMAGES = 1000
TOGETHER_IMAGES = 300  # of each of several attributes


class Step(NamedTuple):
    """One glimpse of the designs of B images, in nats.

    Attributes:
        entropy: (B,) of q before the glimpse; of the labels before the first.
        predicted: (B, L) EPE of every place, infinite where the history looked.
        realised: (B, L) $-\\log q(\\theta \\mid y_{\\le t})$ after a glimpse at each place.
        chosen: (B,) numbers of the places that are taken.
    """

    entropy: Tensor
    predicted: Tensor
    realised: Tensor
    chosen: Tensor

    def at_chosen(self, values: Tensor) -> Tensor:
        """(B,) of values (B, L), those of the places that are taken."""
        return values.gather(1, self.chosen[:, None]).flatten()


def embedded(learned: Approximations, split: Split, images: int | None = None) -> Bank:
    """A fair sample of a split at all places: `images` of them at most, by default what maps allow.

    Of a fit with balanced classes it has each class as often as the rarest.

    Raises:
        DataError: of such a fit, where a class has no image.
    """
    images = affordable(learned, IMAGES) if images is None else images
    if learned.settings.balanced:
        require_every_class(split.labels, learned.facts.classes, "the images to predict for")
        rows = thinned(split.labels, images)
    else:
        rows = sample_rows(len(split), min(images, len(split)))
    sample = split.take(rows)
    return Bank(learned.q, at_device(sample, learned.places.device), learned.places, learned.geometry)


def of_attribute(seen: Bank, learned: Approximations, split: Split) -> Bank:
    """The images of `seen`, and what q's network says of them, for the head of one attribute.

    Args:
        seen: from `embedded`, of images with labels of all attributes or of another one.
        learned: approximations of one of the attributes that q was trained on together.
        split: all images of that split with the labels of this attribute.
    """
    rows = torch.searchsorted(split.ids, seen.split.ids.to(split.ids))
    return seen.of_attribute(learned.q, at_device(split.take(rows), learned.places.device))


@torch.no_grad()
def steps_of(designer: Designer, unseen: Bank, seed: int) -> Iterator[Step]:
    """The T steps of designs for images with labels that neither q nor the bank has seen.

    Args:
        designer: of approximations with all their parts.
        unseen: the images, from `embedded`.
        seed: of the completions.
    """
    rows = torch.arange(len(unseen), device=unseen.labels.device)
    history = History(designer, unseen.split, rows, seed=seed)
    for count, (weight, read) in enumerate(zip(designer.weights, designer.calibrations, strict=True), 1):
        entropy = history.predictive_entropy()
        realised = unseen.scores_after(rows, history.total, count, "cross-entropy").double()
        places, predicted = history.choose(weight, read)
        yield Step(entropy, predicted, realised, places)
        history.look(places)
