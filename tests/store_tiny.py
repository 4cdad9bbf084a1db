"""What the tests of the store share: sequences that anyone can make again, and a store for them."""

from pathlib import Path

import torch

from data.places import places_at
from data.sequences import Sequences
from supervision.store import SequenceStore

STEPS, IDS = 3, torch.tensor([2, 5, 7, 11, 30])
CANDIDATES = places_at(torch.cartesian_prod(torch.arange(0, 12, 4), torch.arange(0, 12, 4)), 4)
SETTINGS = {"data": "made-up", "glimpses": 3, "nested": {"share": 0.25, "list": [1, 2]}}


def sequences_of(ids: torch.Tensor) -> Sequences:
    """What a design would give: each image's own, whatever the others are."""
    parts = []
    for i in ids.tolist():
        generator = torch.Generator().manual_seed(i)
        places = torch.randint(len(CANDIDATES), (STEPS,), generator=generator)
        numbers = torch.rand(STEPS * 2 + 1 + STEPS * len(CANDIDATES), generator=generator)
        epe, entropy, epe_map = numbers.split([STEPS, STEPS + 1, STEPS * len(CANDIDATES)])
        parts.append((CANDIDATES[places], epe, entropy, epe_map.view(STEPS, -1)))
    return Sequences(*(torch.stack(part) for part in zip(*parts, strict=True)))


def open_store(
    path: Path, ids: torch.Tensor = IDS, settings: dict[str, object] | None = None
) -> SequenceStore:
    return SequenceStore.write_to(path, settings or SETTINGS, ids, STEPS, CANDIDATES)


def fill(store: SequenceStore, rows: torch.Tensor) -> None:
    store.write(rows, sequences_of(store.ids[rows]))
