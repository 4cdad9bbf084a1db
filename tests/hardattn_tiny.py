"""A made-up task for the tests of hardattn: the class is where the bright square is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.dataset import DataSet, Split
from data.geometry import Geometry
from data.sequences import Sequences
from data.store import ImageStore
from hardattn.model.network import HardAttention
from hardattn.training.budget import Budget
from hardattn.training.learner import Learner
from supervision.store import SequenceStore

GEOMETRY = Geometry(16, 16, 1, glimpse_size=4, per_axis=4)


def tiny_split(count: int, seed: int) -> Split:
    """Images of noise with a bright square in the left (0) or right (1) half."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 100, (count, 16, 16, 1), dtype=np.uint8)
    labels = np.arange(count) % 2
    for row, label in enumerate(labels):
        images[row, 4:8, 8 * label : 8 * label + 4] = 255
    return Split.of(ImageStore.from_arrays(images, labels[:, None], np.arange(count)))


MULTIGLIMPSE: dict[str, Any] = {
    "method": "multiglimpse",
    "budget": Budget(epochs=2),
    "device": "cpu",
    "batch_size": 16,
    "hidden": 8,
    "glimpses": 3,
}
"""A short training of a MultiGlimpse network, as keywords of `hardattn.runs.train`."""


def tiny_dataset(name: str = "tiny", target: str = "label") -> DataSet:
    counts = {"design": 12, "train": 48, "valid": 20, "test": 30}
    openers = {split: (lambda n=n, s=s: tiny_split(n, s)) for s, (split, n) in enumerate(counts.items())}
    return DataSet(name, target, ("left", "right"), GEOMETRY, 3, openers)


def tiny_network(seed: int = 0, **chosen: Any) -> HardAttention:
    torch.manual_seed(seed)
    return HardAttention(1, GEOMETRY.grid(), classes=2, hidden=16, **chosen)


def tiny_store(
    path: Path, dataset: DataSet, changed: dict[str, str] | None = None, steps: int = 3
) -> SequenceStore:
    """Sequences for all design images: right to where the square may be, then two other places."""
    grid, split = dataset.geometry.grid(), dataset["design"]
    places = torch.tensor([0, 4, 6, 9, 15])[:steps].expand(len(split), -1)
    facts = {
        "dataset": dataset.name,
        "target": dataset.target,
        "fingerprint": split.fingerprint,
        "geometry": dataset.geometry.to_json(),
        "design": {},
    }
    store = SequenceStore.write_to(path, facts | (changed or {}), split.ids, steps, grid.locations)
    zeros = torch.zeros(len(split), steps)
    found = Sequences(
        grid.locations[places],
        zeros,
        torch.zeros(len(split), steps + 1),
        torch.zeros(len(split), steps, len(grid)),
    )
    store.write(torch.arange(len(split)), found)
    return store


@contextmanager
def interrupted_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A training within ends in the middle, as by Control-C, after so many steps."""
    step, calls = Learner.step, list[int]()

    def interrupted(self: Learner, *rest: Any) -> None:
        calls.append(1)
        if len(calls) > steps:
            raise KeyboardInterrupt
        step(self, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Learner, "step", interrupted)
        yield
