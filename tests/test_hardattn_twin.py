"""Training, evaluation and prediction on a device that refuses to mix with the CPU, which hardly waits."""

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_network, tiny_split, tiny_store

import hardattn
from data.gpu import mixed_precision
from data.geometry import Geometry
from data.pool import ImagePool
from data.saliency import SaliencyMaps
from hardattn.baselines.training import train_baseline
from hardattn.evaluation import evaluate
from hardattn.model.cores import GruCore
from hardattn.model.looking import look_at_all, look_of
from hardattn.model.rollout import Mode, explore, follow
from hardattn.objectives.registry import METHODS
from hardattn.runs import train
from hardattn.training import learner
from hardattn.training.budget import Budget
from hardattn.training.registry import LEARNERS
from supervision.saliency import write_salient
from supervision.source import SequenceSource
from hardattn.model.registry import CORES, POLICIES

SHORT: dict[str, Any] = {"budget": Budget(epochs=1), "batch_size": 24, "hidden": 16, "seed": 0}
STEPS = 3


def store_of(method: str, folder: Path) -> SequenceSource | None:
    """What the method imitates, if anything."""
    dataset = tiny_dataset()
    if method == "glimpsenet":
        maps = SaliencyMaps(lambda rows: dataset["train"].images[rows, ..., 0], "bright")
        return write_salient(folder / "s.h5", dataset, "train", maps, glimpses=STEPS)
    return tiny_store(folder / "s.h5", dataset) if METHODS[method].supervised else None


@pytest.fixture
def steps(twin: list[str], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Of each step of training where the CPU waited in it."""
    found = list[list[str]]()
    monkeypatch.setattr(learner, "is_check", lambda iteration: True)  # every step is logged
    monkeypatch.setattr(
        learner.Validator, "__call__", lambda self, network: ({"nll": 0.0, "accuracy": 1.0}, {})
    )
    for kind in {LEARNERS[method.learner] for method in METHODS.values()}:

        def counted(self: Any, *rest: Any, step: Any = kind.step) -> None:
            before = len(twin)
            step(self, *rest)
            found.append(twin[before:])

        monkeypatch.setattr(kind, "step", counted)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_step_of_training_waits_once(method: str, tmp_path: Path, steps: list[list[str]]) -> None:
    """For what is logged of it."""
    store = store_of(method, tmp_path)
    train(tiny_dataset(), tmp_path / "run", method=method, store=store, device="twin", **SHORT)
    assert len(steps) == 2
    for waits in steps:
        assert len(waits) == 1 and waits[0].startswith("/hardattn/training/learner.py"), waits
