"""Trainings of two processes that learn together, and the second of the two."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hardattn_tiny import tiny_dataset

import hardattn
from data.errors import CheckpointError, SettingsError, TrainingError
from hardattn.baselines.training import train_baseline
from hardattn.runs import train
from hardattn.training.budget import Budget
from hardattn.training.group import process_group
from supervision.store import SequenceStore

COMMON: dict[str, Any] = {"seed": 3, "device": "cpu", "hidden": 8, "batch_size": 17, "mirror": True}
CHECK_EVERY = 8
WHOLE = Budget(epochs=8.5)
"""24 iterations of 17 images."""
BRIEF = Budget(epochs=2.8)
"""8 of them."""


def trainings(folder: Path) -> None:
    """All that two processes train together here; each of them calls this."""
    with patch("hardattn.training.budget.CHECK_EVERY", CHECK_EVERY):
        store = SequenceStore.read(folder / "sequences.h5")
        train(tiny_dataset(), folder / "together", store=store, budget=WHOLE, **COMMON)
        train(tiny_dataset(), folder / "taken-up", store=store, budget=WHOLE, **COMMON)
        train(
            tiny_dataset(),
            folder / "bfloat16",
            store=store,
            budget=BRIEF,
            precision="bfloat16",
            accumulate=2,
            **COMMON,
        )
        first = os.environ["RANK"] == "0"  # which finds another run there; the others hear of it
        with pytest.raises(
            CheckpointError if first else TrainingError,
            match="with budget = " if first else "process 0 to go on, found that it has failed",
        ):
            train(tiny_dataset(), folder / "alone", store=store, budget=BRIEF, **COMMON)
        with pytest.raises(SettingsError, match="folder= where several processes train together"):
            hardattn.train(tiny_dataset(), budget=BRIEF, device="cpu")
        train_baseline(tiny_dataset(), folder / "clock", "fc", budget=Budget(minutes=0.002), **COMMON)


@contextmanager
def rank(number: int, port: int) -> Iterator[None]:
    """Within is what `torchrun` says to the process of this number, of two."""
    said = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    words = {name: str(value) for name, value in said.items()} | {"MASTER_ADDR": "127.0.0.1"}
    with patch.dict(os.environ, words), process_group("cpu"):
        yield


def second(folder: Path, ports: tuple[int, int]) -> None:
    """The second process, which ends with 3 if it opens a file of the folder to write; then it is gone."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(str(folder)):
            mode, flags = arguments[1] or "", arguments[2] or 0
            if set(mode) & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR):
                os._exit(3)

    sys.addaudithook(refuse)
    with rank(1, ports[0]):
        trainings(folder)
    with rank(1, ports[1]):
        os.kill(os.getpid(), signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def together(folder: Path) -> int:
    """Two processes train together, this being the first; gives the exit code of the second, which is killed
    at the beginning of another training."""
    ports = free_port(), free_port()
    other = get_context("spawn").Process(target=second, args=(folder, ports))
    other.start()
    try:
        with rank(0, ports[0]):
            trainings(folder)
        with pytest.raises(TrainingError, match="found one gone .* takes the training up"), rank(0, ports[1]):
            train(tiny_dataset(), folder / "alone-at-last", budget=BRIEF, **COMMON)
        other.join(30)
    finally:
        other.kill()
    return -1 if other.exitcode is None else other.exitcode
