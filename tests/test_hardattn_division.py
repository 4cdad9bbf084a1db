"""A batch in parts: every method learns what it learns of the whole batch, up to rounding."""

from typing import Any

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_split
from torch import Tensor, nn

from data.errors import SettingsError
from data.pool import ImagePool
from hardattn.baselines.networks import make_baseline
from hardattn.baselines.training import BaselineRecipe, WholeImageTrainer, one_glimpse, train_baseline
from hardattn.model.network import HardAttention
from hardattn.objectives.registry import METHODS
from hardattn.runs import train
from hardattn.training.distributed import Division
from hardattn.training.learner import Learner
from hardattn.training.recipe import Recipe
from hardattn.training.registry import LEARNERS
from hardattn.training.rows import Rows
from hardattn.training.trainer import Trainer
from supervision.batches import Maps, MixedBatches

STEPS, BATCH = 3, 17
"""Batches that no two parts have an equal share of."""


def learner_of(method: str, division: Division, **chosen: Any) -> tuple[Learner, Any]:
    """The training of a small network, and its batches."""
    images, grid, guided = tiny_split(48, 0), GEOMETRY.grid(), dict[str, Any]()
    recipe = Recipe(batch_size=BATCH, hidden=8, mirror=True, **chosen)
    if METHODS[method].supervised:
        places = torch.randint(len(grid), (12, STEPS), generator=torch.Generator().manual_seed(1))
        guided = {"supervised": tiny_split(12, 1), "locations": grid.locations[places]}
        guided["supervised_share"] = METHODS[method].supervised_share or 0.25
    if "saliency" in METHODS[method].weights:
        guided["maps"] = Maps(torch.rand(12, STEPS, 5), grid.locations[:5])
    if recipe.gain_target == "design":
        guided["gains"] = torch.rand(12, STEPS)
    batches = MixedBatches(images, STEPS, BATCH, **guided)
    torch.manual_seed(0)
    network = HardAttention(1, grid, classes=2, glimpses=STEPS, **recipe.network)
    learner = LEARNERS[METHODS[method].learner](network, METHODS[method], batches, GEOMETRY, recipe, 3)
    learner.division = division
    return learner, iter(batches)


def stepped(learner: Trainer, batches: Any) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Weights and logged terms after steps at the beginning, the middle and the end of a budget."""
    for fraction in (0.0, 0.5, 0.9):
        learner.step(next(batches), fraction)
    return dict(learner.network.named_parameters()), learner.terms


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "partly": ("ps-nogs", {"gain_target": "design"}),
    "annealed": ("ps-nogs", {"anneal_supervision": True, "policy": "product"}),
    "finetuned": ("nogs-finetuned", {"supervised_share": 1.0}),
    "maps": ("saliency", {}),
    "gaussian": ("ram", {"policy": "gaussian", "core": "rnn", "encoder": "linear", "combine": "add"}),
    "mixture": ("ram", {"policy": "mixture", "rewards": {"information": 1.0}}),
    "halting": ("act", {"halts": True, "core": "lstm"}),
    "wake-sleep": ("wsram", {"infers": True}),
    "map": ("epe-head", {"policy": "epe"}),
    "blind": ("random", {"optimizer": "sgd", "weight_decay": 0.0}),
}


@pytest.mark.parametrize("form", FORMS)
def test_parts_learn_what_the_whole_does(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 3)
    method, chosen = FORMS[form]
    torch.manual_seed(2)
    expected, terms = stepped(*learner_of(method, Division(), **chosen))
    torch.manual_seed(2)
    found, noted = stepped(*learner_of(method, Division(accumulate=3), **chosen))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=2e-5, rtol=1e-4)
    assert noted == pytest.approx(terms, abs=3e-5) and set(METHODS[method].weights) >= {
        name.removeprefix("loss_") for name in terms if method != "nogs-finetuned"
    }


def test_parts_of_a_baseline_learn_what_the_whole_does() -> None:
    def trainer(division: Division) -> tuple[Trainer, Any]:
        geometry, images = one_glimpse(GEOMETRY), tiny_split(48, 0)
        torch.manual_seed(0)
        network = make_baseline("fc", geometry.glimpse_shape(), 2, 16, None, None)
        learner = WholeImageTrainer(network, ImagePool([images]), geometry, BaselineRecipe(), 3)
        learner.division = division
        return learner, iter(MixedBatches(images, 1, BATCH))

    expected, found = (stepped(*trainer(division))[0] for division in (Division(), Division(accumulate=4)))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=2e-5, rtol=1e-4)


def test_processes_have_the_batch_among_them() -> None:
    """Each image once, with what belongs to it, however many parts there are."""
    _, batches = learner_of("saliency", Division())
    batch = next(batches)
    parts = [
        part for rank in range(2) for part in Division(accumulate=2, rank=rank, processes=2).parts(batch)
    ]
    assert sorted(len(part.rows) for part in parts) == [4, 4, 4, 5] and all(part.guided for part in parts)
    own = {int(index): row for row, index in enumerate(batch.index)}
    seen = [int(index) for part in parts for index in part.batch.index]
    assert sorted(seen) == sorted(own)
    for part in parts:
        rows = torch.tensor([own[int(index)] for index in part.batch.index])
        assert torch.equal(part.batch.locations, batch.locations[rows])
        assert torch.equal(part.batch.supervised, batch.supervised[rows])
        assert part.batch.maps is not None and batch.maps is not None
        assert torch.equal(part.batch.maps, batch.maps[rows[part.batch.supervised] - (BATCH - batch.count)])


def test_draws_for_no_image_are_the_same_in_all_parts() -> None:
    def draw(count: int) -> tuple[Tensor, Tensor, Tensor]:
        torch.manual_seed(0)
        return torch.rand(5), torch.randint(9, (count * 2, 3)), torch.randn(size=(count,))

    whole, part = draw(4), Rows(4, (range(0, 1), range(3, 4))).drawn(draw)(2)
    assert torch.equal(part[0], whole[0])
    assert torch.equal(part[1], whole[1][[0, 1, 6, 7]]) and torch.equal(part[2], whole[2][[0, 3]])


class Dropping(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return nn.functional.dropout(values, training=self.training)


def test_draws_that_know_no_rows_are_refused() -> None:
    rows, values = Rows(4, (range(2),)), torch.ones(2, 3)
    with pytest.raises(SettingsError, match="found dropout; train in one process, without --accumulate"):
        rows.drawn(Dropping())(values)
    assert torch.equal(rows.drawn(Dropping().eval())(values), values)
    with pytest.raises(SettingsError, match="found multinomial"):
        rows.drawn(torch.multinomial)(values, 1)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"accumulate": 0}, "--accumulate of at least 1, found 0"),
        ({"accumulate": 9, "batch_size": 8}, "in each of the 9 parts of a batch, found 8 for all"),
        ({"accumulate": 2, "batch_norm": True}, "without batch norm in a batch that is divided"),
        ({"accumulate": 2, "compile_step": True}, "no --accumulate with --compile"),
        ({"precision": "float16"}, "--precision auto, float32, bfloat16; found 'float16'"),
    ],
)
def test_what_parts_cannot_learn_is_refused(chosen: dict[str, Any], words: str, tmp_path: Any) -> None:
    with pytest.raises(SettingsError, match=words):
        train(tiny_dataset(), tmp_path / "run", method="ram", device="cpu", **chosen)
    assert not (tmp_path / "run").exists()
    if "batch_norm" not in chosen and "compile_step" not in chosen:
        with pytest.raises(SettingsError, match=words):
            train_baseline(tiny_dataset(), tmp_path / "run", "fc", device="cpu", **chosen)
        assert not (tmp_path / "run").exists()
