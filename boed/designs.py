"""Designs in memory: glimpse sequences for the images of a split, and where they are kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.engines.engine import Engine
from boed.estimators.choices import MEMORY_GB
from boed.generation import candidates_of, described, generate, require_usable
from boed.search.choices import COMPLETIONS, SEARCHES
from boed.search.designer import Designer
from data.dataset import Split
from data.device import at_device
from data.sample import choose_images
from data.sequences import Sequences
from data.version import SOFTWARE
from supervision.source import SequenceSource
from supervision.store import SequenceStore, filling

BLOCK = 1000  # images that are written at a time


@dataclass(eq=False, repr=False)
class Designs(SequenceSource):
    """Glimpse sequences of N images; `hardattn.train` takes them as it takes a store.

    Attributes:
        ids: (N,) int64 images, increasing.
        sequences: of these images.
        candidates: (L, 3) int64 places that the maps are over.
        settings: what the sequences depend on, JSON-able.
        origin: what `data.registry.load` opens the data set with; empty where it cannot.
        seconds: wall-clock time that they took.
        path: None, they are in memory.
        software: that made them.
    """

    ids: Tensor
    sequences: Sequences
    candidates: Tensor
    settings: dict[str, Any]
    origin: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    path: Path | None = None
    software: str = SOFTWARE

    def __post_init__(self) -> None:
        self.done = torch.ones(len(self.ids), dtype=torch.bool)
        self.steps = self.places.shape[1]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        task = " ".join(str(self.settings[name]) for name in ("dataset", "target") if name in self.settings)
        return f"Designs({task}, {len(self)} images, {self.steps} glimpses)"

    @property
    def places(self) -> Tensor:
        """(N, T, 3) int64 (row, col, side) in pixels."""
        return self.sequences.locations

    @property
    def epe(self) -> Tensor:
        """(N, T) score of the chosen places, nats."""
        return self.sequences.epe

    @property
    def entropy(self) -> Tensor:
        """(N, T+1) entropy of q before the first and after each glimpse, nats."""
        return self.sequences.entropy

    @property
    def epe_map(self) -> Tensor:
        """(N, T, L) score of every candidate, nats; infinite where it was seen or not scored."""
        return self.sequences.epe_map

    def load(self, rows: Tensor | None = None) -> Sequences:
        """The sequences of these rows (default: all)."""
        return self.sequences if rows is None else self.sequences.take(rows)

    def save(self, path: Path | str) -> SequenceStore:
        """Writes the store that `boed generate` writes of the same designs.

        Raises:
            StoreError: `path` holds other sequences, or cannot be written.
        """
        ids, steps = self.ids, self.steps
        with filling(Path(path)):
            store = SequenceStore.write_to(
                Path(path), self.settings, ids, steps, self.candidates, origin=self.origin
            )
            pending = store.pending()
            pending = pending[torch.isin(store.ids[pending], ids)]
            for rows in pending.split(BLOCK) if len(pending) else ():
                store.write(rows, self.load(torch.searchsorted(ids, store.ids[rows])))
            store.add_seconds(self.seconds * len(pending) / max(1, len(ids)), len(pending))
        return store


def design(
    fitted: Approximations,
    split: Split,
    *,
    glimpses: int | None = None,
    images: int | None = None,
    source: str = "design",
    seed: int | None = None,
    search: str = SEARCHES[0],
    completions: int = COMPLETIONS,
    shrink: bool = True,
    coarse: bool = False,
    pixel_price: float = 0.0,
    memory_gb: float = MEMORY_GB,
    engine: Engine | str = "local",
) -> Designs:
    """Glimpse sequences for the images of a split; that of an image depends on it and the seed alone.

    Args:
        fitted: from `boed.fit` or `boed.load`.
        split: for example `dataset["design"]`.
        glimpses: T; default as many as were fitted.
        images: how many of the split, a fair sample; default all.
        source: a key of `boed.search.registry.SOURCES`.
        seed: of the completions; default that of the fit.
        search: "greedy", "beam" or "lookahead".
        completions: N per image and glimpse.
        shrink: whether an image's map is shrunk towards the average map.
        coarse: whether places are searched from coarse to fine.
        pixel_price: nats that a place must gain for each pixel that it is averaged from.
        memory_gb: for what is kept of the bank by each worker, in 2**30 bytes.
        engine: where it is done, see `boed.engine`.

    Raises:
        SettingsError: unknown source, more glimpses or images than there are, or a search that the parts of
            the fit cannot serve.
        WorkerError: workers of the engine are lost again and again, or cannot be reached.
    """
    require_usable(fitted, split)
    designer = Designer(
        fitted,
        completions=completions,
        search=search,
        shrink=shrink,
        coarse=coarse,
        pixel_price=pixel_price,
        memory_gb=memory_gb,
    )
    glimpses = fitted.glimpses if glimpses is None else glimpses
    seed = fitted.settings.seed if seed is None else seed
    sink, start = _Memory(choose_images(split, images)), time.perf_counter()
    here = at_device(split, fitted.places.device)
    generate(designer, here, sink, glimpses=glimpses, source=source, seed=seed, engine=engine)
    return Designs(
        sink.ids,
        sink.sequences(),
        candidates_of(fitted, source),
        described(designer, split.fingerprint, source=source, seed=seed),
        dict(fitted.facts.origin or {}),
        time.perf_counter() - start,
    )


class _Memory:
    """Keeps sequences in memory, in the precision of a store; a `boed.generation.Sink`.

    Args:
        ids: (N,) images.
    """

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids
        self._rows, self._blocks = list[Tensor](), list[Sequences]()

    def pending(self) -> Tensor:
        """All rows, in order."""
        return torch.arange(len(self.ids))

    def write(self, rows: Tensor, sequences: Sequences) -> None:
        """Keeps a block."""
        self._rows.append(rows)
        numbers = (sequences.epe, sequences.entropy, sequences.epe_map)
        self._blocks.append(Sequences(sequences.locations, *(part.float() for part in numbers)))

    def sequences(self) -> Sequences:
        """Those of all blocks, in the order of the rows."""
        parts = ([getattr(block, one.name) for block in self._blocks] for one in fields(Sequences))
        return Sequences(*(torch.cat(part) for part in parts)).take(torch.cat(self._rows).argsort())
