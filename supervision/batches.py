"""Training batches that mix supervised and unsupervised images, with an explicit mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from data.dataset import Split
from data.errors import SettingsError, StoreError
from data.gpu import sent
from data.pool import ImagePool
from data.sample import sample_rows
from supervision.source import SequenceSource


@dataclass(frozen=True)
class Maps:
    """How expedient it is to look where, for images with sequences.

    Attributes:
        values: (M, T, L') score of each place before each glimpse, in nats; infinite where none was computed.
        places: (L', 3).
    """

    values: Tensor
    places: Tensor


@dataclass(frozen=True)
class Batch:
    """One step of training.

    Attributes:
        index: (B,) images of the pool.
        labels: (B,) int64.
        locations: (B, T, 3) places to imitate; zeros where `supervised` is False.
        supervised: (B,) bool; where any are, they come last.
        maps: (G, T, L') values of `Maps` of the G supervised images; None where there are none.
        gains: (G, T) information gain in nats that their designs expected; None where it is not wanted.
        guided: G, where it is known: so that no GPU need be asked for it.
    """

    index: Tensor
    labels: Tensor
    locations: Tensor
    supervised: Tensor
    maps: Tensor | None = None
    gains: Tensor | None = None
    guided: int | None = None

    @property
    def count(self) -> int:
        """How many images are supervised."""
        return int(self.supervised.sum()) if self.guided is None else self.guided


class MixedBatches:
    """Endless batches: a share of supervised images, the rest unsupervised, each without replacement.

    Args:
        unsupervised: images without sequences (the training split).
        glimpses: T.
        batch_size: B.
        supervised: images with sequences (the design split), or None.
        locations: (M, T', 3) their sequences, T' >= T.
        maps: of these images, which every batch carries; None: none are wanted.
        gains: (M, T) expected information gain of the glimpses of these images; None: it is not wanted.
        supervised_share: share of each batch that is supervised.
        seed: fixes the order.
        repeats: how many times in a row each unsupervised image of a batch comes, which divides B.

    Raises:
        SettingsError: the share is not in [0, 1], or the sequences do not fit the images or T.

    >>> images = Split(torch.zeros(4, 8, 8, 1), torch.arange(4), torch.arange(4), "")
    >>> index = next(iter(MixedBatches(images, 1, 4, repeats=2))).index
    >>> len(index.unique()), bool((index[::2] == index[1::2]).all())
    (2, True)
    """

    def __init__(
        self,
        unsupervised: Split,
        glimpses: int,
        batch_size: int,
        *,
        supervised: Split | None = None,
        locations: Tensor | None = None,
        maps: Maps | None = None,
        gains: Tensor | None = None,
        supervised_share: float = 0.25,
        seed: int = 0,
        repeats: int = 1,
    ) -> None:
        _require_share(supervised_share, batch_size)
        self.pool = ImagePool([unsupervised] if supervised is None else [unsupervised, supervised])
        self.glimpses, self.seed, self.repeats = glimpses, seed, repeats
        self.unsupervised_count = len(unsupervised)
        self.sizes = sizes(batch_size, supervised_share if supervised is not None else None)
        device = unsupervised.images.device
        count = 0 if supervised is None else len(supervised)
        self.locations = torch.zeros(count, glimpses, 3, dtype=torch.int64, device=device)
        if locations is not None:
            _require_sequences(locations, count, glimpses)
            self.locations[:] = locations[:, :glimpses].to(device)
        self.maps = maps and Maps(maps.values.to(device), maps.places.to(device))
        self.gains = None if gains is None else gains.to(device)

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self.seed)
        plain = _shuffled(self.unsupervised_count, self.sizes[0] // self.repeats, generator)
        guided = _shuffled(len(self.locations), self.sizes[1], generator)
        while True:
            yield self._batch(next(plain).repeat_interleave(self.repeats), next(guided))

    def _batch(self, plain: Tensor, guided: Tensor) -> Batch:
        device = self.locations.device
        plain, guided = sent(plain, device), sent(guided, device)
        index = torch.cat([plain, guided + self.unsupervised_count])
        locations = torch.cat(
            [self.locations.new_zeros(len(plain), self.glimpses, 3), self.locations[guided]]
        )
        supervised = torch.arange(len(index), device=device) >= len(plain)
        maps = None if self.maps is None else self.maps.values[guided]
        gains = None if self.gains is None else self.gains[guided]
        return Batch(index, self.pool.labels[index], locations, supervised, maps, gains, len(guided))


def sizes(batch_size: int, share: float | None) -> tuple[int, int]:
    """How many images of a batch are unsupervised, and how many are not.

    Args:
        share: that is supervised, at least one image; None: nobody is.

    >>> sizes(128, 0.25), sizes(2, 0.0), sizes(2, None)
    ((96, 32), (1, 1), (2, 0))
    """
    guided = 0 if share is None else max(1, round(batch_size * share))
    return batch_size - guided, guided


def _require_share(share: float, batch_size: int) -> None:
    if not 0 <= share <= 1 or batch_size < 1:
        raise SettingsError(
            f"expected a supervised share in [0, 1] of at least 1 image, found {share} of {batch_size}"
        )


def _require_sequences(locations: Tensor, count: int, glimpses: int) -> None:
    if count == 0 or len(locations) != count or locations.shape[1] < glimpses:
        raise SettingsError(
            f"expected at least {glimpses} locations for each of {count} supervised images, "
            f"found {locations.shape[1]} for {len(locations)}"
        )


def _shuffled(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless draws of `size` of `count` numbers, each number once per pass."""
    queue = torch.empty(0, dtype=torch.int64)
    while True:
        while len(queue) < size:
            queue = torch.cat([queue, torch.randperm(count, generator=generator)])
        yield queue[:size]
        queue = queue[size:]


def supervised_split(
    store: SequenceSource, split: Split, glimpses: int, count: int | None = None
) -> tuple[Split, Tensor]:
    """The images of `split` that have a finished sequence, and their places (M, T, 3).

    Where these are all images of the split it is the split itself, whose images are not copied.

    Args:
        count: only so many, a fair sample that is part of every larger one; all of them without.

    Raises:
        StoreError: no sequence is done, sequences are shorter than `glimpses`, or an image is missing.
    """
    rows = store.done.nonzero().view(-1)
    if count is not None:
        rows = rows[sample_rows(len(rows), count)]
    if len(rows) == 0:
        raise StoreError(
            f"expected finished sequences in {store.name}, found none; run `boed generate` to its end"
        )
    if store.steps < glimpses:
        raise StoreError(
            f"expected sequences of at least {glimpses} glimpses in {store.name}, found {store.steps}; "
            "generate longer ones or train with fewer glimpses"
        )
    ids = store.ids[rows]
    where = torch.searchsorted(split.ids.cpu(), ids).clamp(max=len(split) - 1)
    if not torch.equal(split.ids.cpu()[where], ids):
        raise StoreError(
            f"expected the images of {store.name} in the data, found some missing; use the same --data-root"
        )
    chosen = split if len(where) == len(split) else split.take(where)
    return chosen, store.load(rows).locations[:, :glimpses]
