"""Designs in a store on disk, image by image, which an interrupted call takes up again."""

from __future__ import annotations

import time
from pathlib import Path

from boed.engines.engine import Engine
from boed.generation import candidates_of, design_settings, generate, require_glimpses
from boed.search.designer import Designer
from data.dataset import DataSet
from data.device import at_device
from data.sample import choose_images
from data.shards import Shard
from supervision.merging import merge as merge
from supervision.merging import seal
from supervision.store import SequenceStore, filling


def store_designs(
    path: Path,
    designer: Designer,
    dataset: DataSet,
    *,
    split: str = "design",
    glimpses: int | None = None,
    images: int | None = None,
    source: str = "design",
    shard: Shard | None = None,
    engine: Engine | str = "local",
) -> SequenceStore:
    """Designs for images of a split, in the store at `path`; what is there already is not made again.

    Args:
        path: of the store.
        designer: what was fitted, and how to search.
        dataset: that has the images.
        split: its name.
        glimpses: T; default as many as were fitted.
        images: how many, a fair sample; default all. At most those that there are.
        source: a key of `boed.search.registry.SOURCES`.
        shard: only its images; `supervision.merging.merge` joins the stores of all shards.
        engine: where it is done, see `boed.engine`.

    Raises:
        SettingsError: unknown source, more glimpses than were fitted, or a shard without images.
        StoreError: `path` holds other sequences, or cannot be written.
        WorkerError: workers of the engine are lost again and again, or cannot be reached.
    """
    fitted = designer.learned
    glimpses, seed = fitted.glimpses if glimpses is None else glimpses, fitted.settings.seed
    require_glimpses(glimpses, fitted)
    here = at_device(dataset[split], fitted.places.device)
    ids = choose_images(here, None if images is None else min(images, len(here)), shard)
    settings = design_settings(dataset, designer, source=source, seed=seed, split=split)
    with filling(path):
        store = SequenceStore.write_to(
            path, settings, ids, glimpses, candidates_of(fitted, source), origin=dataset.origin, shard=shard
        )
        before, start = int(store.done.sum()), time.perf_counter()
        try:
            generate(
                designer, here, store, glimpses=glimpses, source=source, seed=seed, ids=ids, engine=engine
            )
        finally:
            store.add_seconds(time.perf_counter() - start, int(store.done.sum()) - before)
        if shard is not None and bool(store.done.all()):
            seal(store)
    return store
