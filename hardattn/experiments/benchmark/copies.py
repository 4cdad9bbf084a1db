"""Photographs that are in the test and in what is learned from, where somebody else has parted them."""

from __future__ import annotations

import hashlib

from data.dataset import DataSet, Split

LEARNED_FROM = ("design", "train", "valid")


def copies_in_test(dataset: DataSet) -> int:
    """How many test images have the same pixels as one that is learned from or chosen on.

    Photographs that are parted by the bytes of their files have few: copies in other formats.
    """
    known = set[bytes]().union(*(_digests(dataset[name]) for name in LEARNED_FROM))
    return sum(digest in known for digest in _digests(dataset["test"]))


def _digests(split: Split) -> list[bytes]:
    return [hashlib.sha256(image.numpy().tobytes()).digest() for image in split.images.cpu()]


def warning(count: int, tested: int) -> str:
    """What such copies do to the figures.

    >>> warning(3, 12)
    '3 of 12 test photographs are copies of others that are learned from: figures are too good; remove them'
    """
    return (
        f"{count:,} of {tested:,} test photographs are copies of others that are learned from: figures are "
        "too good; remove them"
    )
