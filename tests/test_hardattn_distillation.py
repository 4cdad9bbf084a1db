"""Distillation: whose probabilities, mixed how, reach the loss, and that a run can be taken up."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hardattn_tiny import tiny_dataset, tiny_network, tiny_store
from torch import Tensor
from torch.nn.functional import one_hot

from data.errors import CheckpointError, SettingsError
from data.tensors import load_tensors
from hardattn.baselines.training import BaselineRecipe, logits_of, one_glimpse, train_baseline
from hardattn.cli.main import main
from hardattn.distillation import Teacher, mixture, teacher_of
from hardattn.objectives.registry import METHODS
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.learner import Learner
from hardattn.training.recipe import Recipe
from hardattn.training.registry import LEARNERS
from supervision.batches import MixedBatches

DATASET = tiny_dataset()
SHORT: dict[str, Any] = {
    "recipe": Recipe(batch_size=16, hidden=16),
    "budget": Budget(epochs=2),  # 6 iterations
    "device": "cpu",
}


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baseline")
    recipe = BaselineRecipe(batch_size=16, hidden=8)
    return train_baseline(DATASET, folder, "fc", recipe=recipe, budget=Budget(epochs=4), device="cpu")


@pytest.fixture(scope="module")
def teacher(baseline: Path) -> Teacher:
    return teacher_of(baseline, dataset=DATASET, share=0.25, device="cpu")


def weights(folder: Path) -> dict[str, Tensor]:
    return load_tensors(folder / checkpoint.LAST, checkpoint.COMMAND)[0]


def test_targets_are_the_mixture_with_the_probabilities_of_each_image(teacher: Teacher) -> None:
    split = DATASET["design"]
    assert isinstance(teacher.run.network, torch.nn.Module)
    told = logits_of(teacher.run.network, split, one_glimpse(DATASET.geometry))[:, 0].softmax(1)
    found = teacher.targets(split)
    torch.testing.assert_close(found, 0.75 * one_hot(split.labels, 2) + 0.25 * told)
    torch.testing.assert_close(found.sum(1), torch.ones(len(split)))
    assert not torch.equal(told[0], told[1])


def test_targets_of_design_images_follow_those_of_training_images(
    tmp_path: Path, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the images are numbered in the pool of the batches."""
    found = list[Tensor]()

    class Noted(Learner):
        def __init__(self, *rest: Any) -> None:
            super().__init__(*rest)
            found.append(self.targets)

    monkeypatch.setitem(LEARNERS._known, "rollout", Noted)
    store = tiny_store(tmp_path / "s.h5", DATASET)
    train(DATASET, tmp_path / "run", store=store, teacher=teacher, **SHORT)
    expected = [teacher.targets(DATASET[name]) for name in ("train", "design")]
    torch.testing.assert_close(found[0], torch.cat(expected))


def test_one_hot_targets_are_the_labels() -> None:
    batches = MixedBatches(DATASET["train"], 3, 16)
    labels = DATASET["train"].labels
    found = []
    for targets in (None, mixture(labels, torch.full((48, 2), 0.5), 0.0)):
        learned = Learner(
            tiny_network(), METHODS["ram"], batches, DATASET.geometry, Recipe(batch_size=16), 0, targets
        )
        learned.step(next(iter(batches)), 0.0)
        found.append(dict(learned.network.named_parameters()))
    for one, other in zip(found[0].values(), found[1].values(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("method", ["ram", "epe-head"])
def test_it_changes_what_is_learned_and_can_be_taken_up(
    tmp_path: Path, teacher: Teacher, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 2)
    options = SHORT | {"method": method}
    plain = train(DATASET, tmp_path / "plain", **options)
    whole = train(DATASET, tmp_path / "whole", teacher=teacher, **options)
    assert any(not torch.equal(value, weights(whole)[name]) for name, value in weights(plain).items())
    step, calls = Learner.step, list[int]()

    def interrupted(self: Learner, *rest: Any) -> None:
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        (step if method == "ram" else own)(self, *rest)

    kind = LEARNERS[METHODS[method].learner]
    own = kind.step
    monkeypatch.setattr(kind, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(DATASET, tmp_path / "cut", teacher=teacher, **options)
    monkeypatch.setattr(kind, "step", own)
    cut = train(DATASET, tmp_path / "cut", teacher=teacher, **options)
    assert all(torch.equal(value, weights(cut)[name]) for name, value in weights(whole).items())


def test_another_share_is_another_run(tmp_path: Path, baseline: Path, teacher: Teacher) -> None:
    train(DATASET, tmp_path / "run", teacher=teacher, **SHORT)
    other = teacher_of(baseline, dataset=DATASET, share=1.0, device="cpu")
    for changed in (other, None):
        with pytest.raises(CheckpointError, match="distillation"):
            train(DATASET, tmp_path / "run", teacher=changed, **SHORT)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_no_share_is_refused(baseline: Path, share: float) -> None:
    with pytest.raises(SettingsError, match="above 0 and at most 1"):
        teacher_of(baseline, dataset=DATASET, share=share, device="cpu")


def test_a_network_with_glimpses_is_no_teacher(tmp_path: Path) -> None:
    folder = train(DATASET, tmp_path / "run", **SHORT)
    with pytest.raises(SettingsError, match="of a baseline for --distil, found one of ram"):
        teacher_of(folder, dataset=DATASET, device="cpu")


def test_a_teacher_of_another_task_is_refused(baseline: Path) -> None:
    with pytest.raises(CheckpointError, match='target = "other"'):
        teacher_of(baseline, dataset=tiny_dataset(target="other"), device="cpu")


def test_by_the_command_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    words = ["train", "--run", str(tmp_path), "--epochs", "0.01", "--device", "cpu"]
    taught = ["--glimpses", "2", "--loss-at", "2,1", "--distil", str(tmp_path / "hardattn-fc-0")]
    for more in (["--baseline", "fc", "--hidden", "4"], taught):
        result = CliRunner().invoke(main, words + more)
        assert result.exit_code == 0, result.output
    settings = checkpoint.read_json(tmp_path / "hardattn-ram-0" / checkpoint.RUN)["settings"]
    assert settings["distillation"]["share"] == 0.5 and settings["distillation"]["baseline"] == "fc"
    assert settings["recipe"]["loss_at"] == [2, 1]
