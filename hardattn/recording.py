"""`hardattn record`: where a trained network looks, as sequences for another network to imitate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.dataset import DataSet, Split
from data.errors import SettingsError
from data.geometry import Geometry
from data.progress import progress_bar
from data.sample import choose_images, image_count
from data.sequences import Sequences
from hardattn.baselines.layers import Baseline
from hardattn.loading import Trained, open_trained
from hardattn.model.looking import look_at_all
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Rollout
from hardattn.objectives.registry import METHODS
from hardattn.objectives.rewards import entropy
from hardattn.training import checkpoint
from supervision.choices import RECORDED, SPLITS
from supervision.store import SequenceStore, filling

BLOCK = 60


def record(
    run_folder: Path,
    *,
    part: str = SPLITS[0],
    images: str = "all",
    out: Path | None = None,
    data_root: Path | None = None,
    dataset: DataSet | None = None,
    device: str = "auto",
) -> SequenceStore:
    """Writes the most likely locations of a trained network into a store, or takes up the one that is there.

    Args:
        run_folder: what `train` wrote.
        part: "design" or "train", the split of the images.
        images: how many of them, or "all".
        out: the store; default sequences-recorded.h5 beside the run folder, sequences-recorded-train.h5 for
            the train split.
        data_root: other images than those of the training.
        dataset: the data set itself, where it is not one of the registry.

    Raises:
        SettingsError: an unknown split, no such number of images, or a network that learned no policy.
        CheckpointError: the run is missing, damaged or of another task.
        StoreError: the store is of another network or of other images.
    """
    if part not in SPLITS:
        raise SettingsError(f"expected a split of {', '.join(SPLITS)}; found {part!r}")
    run = open_trained(run_folder, data_root, dataset=dataset, device=device)
    network = require_policy(run)
    split = run.dataset[part]
    ids = choose_images(split, image_count(images, len(split)))
    path = out or run_folder.resolve().parent / f"{RECORDED}{'' if part == SPLITS[0] else f'-{part}'}.h5"
    settings, nowhere = run.glimpsing()[1], torch.zeros(0, 3, dtype=torch.int64)
    steps, origin = settings.glimpses, dict(run.origin)
    with filling(path):
        store = SequenceStore.write_to(path, record_settings(run, split), ids, steps, nowhere, origin=origin)
        _fill(store, network, split, settings.geometry, ids)
    return store


def require_policy(run: Trained) -> HardAttention:
    """The network of a run; raises SettingsError where it did not learn where to look."""
    if isinstance(run.network, Baseline) or METHODS[run.method].evaluation != "greedy":
        raise SettingsError(
            f"expected a run that learned where to look, found one of {run.method}; record another"
        )
    return run.network


def record_settings(run: Trained, split: Split) -> dict[str, Any]:
    """What a store of recorded sequences is identified by."""
    return {
        "dataset": run.dataset.name,
        "target": run.dataset.target,
        "fingerprint": split.fingerprint,
        "geometry": run.settings.geometry.to_json(),
        "design": {
            "source": "recorded",
            "method": run.method,
            "seed": run.settings.seed,
            "weights": checkpoint.weights_digest(run.network),
        },
    }


def _fill(
    store: SequenceStore, network: HardAttention, split: Split, geometry: Geometry, ids: Tensor
) -> None:
    """Records every pending image of `ids`, block by block."""
    pending = store.pending()
    pending = pending[torch.isin(store.ids[pending], ids)]
    where = torch.searchsorted(split.ids.cpu(), store.ids)
    with progress_bar(total=len(ids), initial=len(ids) - len(pending), desc="record", unit="image") as bar:
        for rows in pending.split(BLOCK) if len(pending) else ():
            # one by one: the bits of a matrix product depend on its shape, and so would those of an image
            # on where a run was interrupted
            rollout = look_at_all(
                network, split.take(where[rows]), geometry, store.steps, mode="greedy", batch_size=1
            )
            store.write(rows, sequences_of(rollout))
            bar.update(len(rows))


def sequences_of(rollout: Rollout) -> Sequences:
    """The locations of a rollout with the entropies of its predictions; nothing has a score."""
    nothing = torch.full(rollout.locations.shape[:2], torch.nan)
    entropies = entropy(torch.cat([rollout.prior[:, None], rollout.logits], 1))
    return Sequences(rollout.locations, nothing, entropies, nothing[..., None][..., :0])
