"""A training that diverges ends with one line, and hands over no weights that have learned nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hardattn_tiny import tiny_dataset

from data.errors import DataError, TrainingError
from data.owner import owned
from data.tensors import load_tensors
from hardattn.runs import train
from hardattn.training.budget import Budget
from hardattn.training.learner import Learner

SETTINGS: dict[str, Any] = {"device": "cpu", "hidden": 8, "budget": Budget(epochs=700)}


def poisoned(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """From this iteration on the weights are no numbers."""
    step = Learner.step

    def diverge(learner: Any, *args: Any) -> None:
        step(learner, *args)
        if learner.iteration >= at:
            for value in [*learner.network.parameters(), *learner.average.parameters()]:
                value.data.fill_(torch.nan)

    monkeypatch.setattr(Learner, "step", diverge)


@pytest.mark.parametrize(("at", "kept"), [(1, None), (150, 100)])
def test_weights_that_have_learned_are_kept_and_others_are_not(
    at: int, kept: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, at)
    after = 100 if kept is None else 200
    message = rf"found none of .*nll.* after iteration {after}: .* smaller --learning-rate"
    with pytest.raises(TrainingError, match=message):
        train(tiny_dataset(), tmp_path / "run", **SETTINGS)
    model = tmp_path / "run" / "model.safetensors"
    assert model.exists() == (kept is not None)
    if kept is not None:
        assert load_tensors(model, "")[1]["iteration"] == kept


def test_a_second_training_in_the_folder_is_refused(tmp_path: Path) -> None:
    with (
        owned(tmp_path / "run", "another training"),
        pytest.raises(DataError, match="in use by another training"),
    ):
        train(tiny_dataset(), tmp_path / "run", **SETTINGS)


def test_a_training_that_has_ended_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = SETTINGS | {"budget": Budget(epochs=1)}
    train(tiny_dataset(), tmp_path / "run", **few)
    monkeypatch.setattr("hardattn.training.run_folder.owned", None)
    train(tiny_dataset(), tmp_path / "run", **few)
