"""Comparison of stores of sequences: those of one target with one another, and the targets on average."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from boed.comparison.compare import Comparison, Source, average, common, common_names, compare
from boed.comparison.settings import JudgeSettings
from boed.comparison.verdict import sentence
from data.dataset import DataSet
from data.errors import StoreError
from data.geometry import LATER, Geometry
from data.registry import reopen
from supervision.store import SequenceStore

SAME = ("dataset", "target", "fingerprint", "geometry")
Say = Callable[[str], None]


def compare_stores(
    paths: Sequence[Path],
    settings: JudgeSettings,
    *,
    data_root: Path | None = None,
    device: torch.device,
    say: Say = print,
) -> Iterator[Comparison]:
    """Judges the sequences of stores, target by target, as `boed.comparison.compare.compare` does.

    Args:
        paths: of the stores; those of one target are compared with one another.
        data_root: of the images; None: where a store was made from.
        say: is told what is left out.

    Raises:
        StoreError: a store is unreadable, unfinished, given twice, or of another task.
        SettingsError: sources that are not the same for all targets, or too few images.
    """
    groups = by_target([SequenceStore.read(path) for path in paths])
    tasks = [(reopened(stores, data_root, say), sources_of(stores, say)) for stores in groups.values()]
    require_comparable([sources for _, sources in tasks], say)
    steps = min(source.locations.shape[1] for _, sources in tasks for source in sources)
    for (dataset, sources), stores in zip(tasks, groups.values(), strict=True):
        cut = [replace(source, locations=source.locations[:, :steps]) for source in sources]
        yield compare(dataset, geometry_of(stores), cut, settings, device=device)


def by_target(stores: Sequence[SequenceStore]) -> dict[str, list[SequenceStore]]:
    """Stores of the same target together; those of one target must be of the same task.

    Raises:
        StoreError: two stores are of different data sets, images or geometries (both values are shown).
    """
    groups: dict[str, list[SequenceStore]] = {}
    for store in stores:
        groups.setdefault(str(store.settings.get("target")), []).append(store)
    for store in stores:
        _require_same(stores[0], store, ("dataset",))
        _require_same(groups[str(store.settings.get("target"))][0], store, SAME)
    return groups


def geometry_of(stores: Sequence[SequenceStore]) -> Geometry:
    """The geometry of all stores: with a glance or other sides where some have these."""
    geometries = [store.geometry for store in stores]
    sides = {side for geometry in geometries for side in geometry.sides}
    return replace(
        geometries[0],
        first_glance=any(geometry.first_glance for geometry in geometries),
        sides=tuple(sorted(sides)),
    )


def _require_same(first: SequenceStore, other: SequenceStore, names: Sequence[str]) -> None:
    for name in names:
        values = [json.dumps(_task_of(store).get(name), sort_keys=True) for store in (first, other)]
        if values[0] != values[1]:
            raise StoreError(
                f"expected stores of the same {name}, found {first.path} with {values[0]} and {other.path} "
                f"with {values[1]}; compare stores made from the same images (import with --data-root)"
            )


def _task_of(store: SequenceStore) -> dict[str, Any]:
    """The settings, without a first glance and sides: with any of these sequences compare."""
    geometry = store.settings.get("geometry")
    if geometry is None:
        return store.settings
    return store.settings | {"geometry": {k: v for k, v in geometry.items() if k not in LATER}}


def reopened(stores: Sequence[SequenceStore], data_root: Path | None, say: Say = print) -> DataSet:
    """The data set that the stores were made from."""
    store = next((each for each in stores if each.origin.get("data_root")), stores[0])
    dataset = reopen(store.origin, data_root, store.name)
    if dataset.note:
        say(dataset.note)
    stores[0].require({"fingerprint": dataset["design"].fingerprint})
    return dataset


def sources_of(stores: Sequence[SequenceStore], say: Say = print) -> list[Source]:
    """The finished sequences of each store, under the name of their source or, with two of it, also the file.

    Raises:
        StoreError: nothing of a store is finished, or a store is given twice.
    """
    kinds = [str(store.settings.get("design", {}).get("source")) for store in stores]
    sources = []
    for store, kind, name in zip(stores, kinds, unique_names(kinds, [s.path for s in stores]), strict=True):
        rows = store.done.nonzero().view(-1)
        if len(rows) == 0:
            raise StoreError(
                f"expected finished sequences in {store.path}, found none; run `boed generate` to its end"
            )
        if len(rows) < len(store.ids):
            say(f"{store.path}: {len(rows)} of {len(store.ids)} sequences are finished")
        seconds = store.seconds_per_sequence
        sources.append(Source(name, kind, store.ids[rows], store.load(rows).locations, seconds))
    return sources


def unique_names(kinds: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """A name for each store: its source, with the file where that is not enough.

    >>> unique_names(["design", "random", "random"], [Path("a.h5"), Path("b.h5"), Path("c.h5")])
    ['design', 'random (b)', 'random (c)']
    """
    both = list(zip(kinds, paths, strict=True))
    names = [kind if kinds.count(kind) == 1 else f"{kind} ({path.stem})" for kind, path in both]
    names = [
        name if names.count(name) == 1 else f"{kind} ({path})"
        for name, (kind, path) in zip(names, both, strict=True)
    ]
    twice = [path for name, path in zip(names, paths, strict=True) if names.count(name) > 1]
    if twice:
        raise StoreError(f"expected different stores, found {twice[0]} twice; give it once")
    return names


def require_comparable(groups: Sequence[Sequence[Source]], say: Say = print) -> None:
    """Refuses, before anything is trained, what could not be compared in the end; says what is left out."""
    common_names([[source.name for source in sources] for sources in groups])
    for sources in groups:
        ids, _ = common(sources)
        most = max(len(source.ids) for source in sources)
        if len(ids) < most:
            say(f"{len(ids)} images have sequences of all sources, of up to {most}")


def to_json(found: Sequence[Comparison]) -> dict[str, Any]:
    """One comparison as it is; of several their mean, with each under "by_target"."""
    each = [comparison.to_json() | {"sentence": sentence(comparison)} for comparison in found]
    if len(found) == 1:
        return each[0]
    mean = average(found)
    by_target = {str(one["target"]): one for one in each}
    return mean.to_json() | {"by_target": by_target, "sentence": sentence(mean)}
