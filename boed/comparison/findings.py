"""How often the sequences of stores find a part of their objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from boed.comparison.stores import unique_names
from data.finding import FindingRow
from data.registry import reopen
from supervision.finding import OBJECT, measure_finding
from supervision.store import SequenceStore


def finding(
    paths: Sequence[Path],
    part: str = OBJECT,
    *,
    data_root: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, list[FindingRow]]:
    """Name of each store -> how often its glimpses hold a part, see `supervision.finding.measure_finding`.

    Args:
        paths: of the stores, each of images of any data set.
        part: see `supervision.finding.measure_finding`.
        data_root: of the images; None: where a store was made from.
        say: is told what is to be said of a data set.

    Raises:
        GlimpseError: a store is unreadable, or given twice; or see `supervision.finding.measure_finding`.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from data.registry import load
    >>> from supervision.parts import write_parts
    >>> digits = load("digits")
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.h5")
    ...     _ = write_parts(path, digits, "design", glimpses=2, origin=digits.origin)
    ...     [rows] = finding([path]).values()
    >>> [row.step for row in rows], rows[1].by_now >= rows[1].found
    ([1, 2], True)
    """
    stores = [SequenceStore.read(path) for path in paths]
    kinds = [str(store.settings.get("design", {}).get("source")) for store in stores]
    found = {}
    for name, store in zip(unique_names(kinds, paths), stores, strict=True):
        dataset = reopen(store.origin, data_root, store.name)
        if dataset.note:
            say(dataset.note)
        found[name] = measure_finding(store, dataset, part)
    return found
