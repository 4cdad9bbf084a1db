"""How large the files and the memory of many designs are: what breaks first when there are a billion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.figures import markdown

PLACES, GLIMPSES = 64, 5
SIDE, CHANNELS = 224, 3  # of decoded photographs
SHARD = 10_000  # images of a shard
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
INT8, INT16, FLOAT32, INT64 = 1, 2, 4, 8  # bytes


@dataclass(frozen=True)
class Growing:
    """Something that grows with the number of images.

    Attributes:
        name: what it is.
        each: bytes for each image.
        where: on disk or in memory, and for whom.
    """

    name: str
    each: float
    where: str


def written_bytes(images: int) -> int:
    """Of the store of their sequences: a row has a map over all places for each step.

    >>> written_bytes(1)
    1363
    """
    steps = GLIMPSES * (3 * INT16 + FLOAT32 + PLACES * FLOAT32)
    return images * (steps + (GLIMPSES + 1) * FLOAT32 + INT64 + INT8)


GROWING = (
    Growing("images, decoded", SIDE * SIDE * CHANNELS, "disk, one memory-mapped array a split"),
    Growing("sequences with their maps", written_bytes(1), "disk, one store"),
    Growing(
        "all sequences read at once",
        GLIMPSES * (3 * INT64 + FLOAT32 + PLACES * FLOAT32) + (GLIMPSES + 1) * FLOAT32,
        "memory, for training and for what `boed generate` says at its end",
    ),
    Growing("order of a sample", 3 * INT64, "memory of each process, when it starts"),
    Growing("ids of a store that is open", INT64 + INT8, "memory"),
)


def files_table(tasks: Mapping[str, int]) -> str:
    """Markdown: what grows, how much of it there is of each task, and where it lies."""
    rows = [
        [each.name, *(size_text(each.each * images) for images in tasks.values()), each.where]
        for each in GROWING
    ]
    counts = [f"{-(-images // SHARD):,}" for images in tasks.values()]
    files = ["files", *counts, f"one folder, shards of {SHARD:,} images"]
    return markdown(["what grows", *tasks, "where"], [*rows, files])


def size_text(count: float) -> str:
    """A number of bytes.

    >>> size_text(1363), size_text(1.5e14)
    ('1.36 kB', '150 TB')
    """
    power = min(len(UNITS) - 1, (len(str(int(count))) - 1) // 3)
    return f"{count / 1000**power:.3g} {UNITS[power]}"
