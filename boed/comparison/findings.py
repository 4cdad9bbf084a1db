"""How often the sequences of stores find a part of their objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from boed.comparison.stores import unique_names
from data.finding import FindingRow
from data.registry import reopen
from supervision.finding import measure_finding
from supervision.store import SequenceStore


def store_findings(
    paths: Sequence[Path],
    part: str | None = None,
    *,
    data_root: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, list[FindingRow]]:
    """Name of each store -> its rows of `supervision.finding.measure_finding`.

    Args:
        paths: of the stores, each of images of any data set.
        part: see `supervision.finding.measure_finding`.
        data_root: of the images; None: where a store was made from.
        say: is told what is to be said of a data set.

    Raises:
        GlimpseError: a store is unreadable, or given twice; or see `supervision.finding.measure_finding`.
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
