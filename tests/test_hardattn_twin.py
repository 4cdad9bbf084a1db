"""Training, evaluation and prediction on a device that refuses to mix with the CPU."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hardattn_tiny import tiny_dataset, tiny_store
from twin_device import twin_machine, waits

from hardattn.objectives.registry import METHODS
from hardattn.runs import train
from hardattn.training.budget import Budget

SHORT = {"budget": Budget(epochs=1), "batch_size": 16, "hidden": 16, "seed": 0}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(method: str, tmp_path: Path) -> None:
    dataset = tiny_dataset()
    store = tiny_store(tmp_path / "sequences.h5", dataset) if METHODS[method].supervised else None
    with twin_machine():
        train(dataset, tmp_path / "run", method=method, store=store, device="twin", **SHORT)
    assert not waits, waits
