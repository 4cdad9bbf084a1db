"""One of N parts of some images, so that N machines can share them: no two parts have an image in common."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from data.errors import SettingsError


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `of` shards, counted from 1; written "2/4".

    Images are dealt out in the order in which a sample of them grows (`data.sample.sample_rows`), as cards
    are: shards differ by one image at most, each is a fair sample too, and an image stays in its shard when
    more images are asked for.

    Raises:
        SettingsError: there is no such shard.

    >>> print(Shard.parse("2/4"), Shard(2, 4).size(9), [Shard(n, 4).size(9) for n in range(1, 5)])
    2/4 2 [3, 2, 2, 2]
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise SettingsError(
                f"expected a shard I/N with I of 1 to N, found {self}; the first of four is 1/4"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def file(self) -> str:
        """Name of a file for it; names of all shards sort as their numbers do.

        >>> Shard(2, 16).file
        '02-of-16.h5'
        """
        return f"{self.number:0{len(str(self.of))}}-of-{self.of}.h5"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The shard that is written so.

        Raises:
            SettingsError: it is none.
        """
        found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        if found is None:
            raise SettingsError(f"expected a shard I/N as 2/4, found {text!r}; the first of four is 1/4")
        return cls(int(found[1]), int(found[2]))

    def size(self, count: int) -> int:
        """How many of `count` images are its."""
        return len(range(self.number - 1, count, self.of))
