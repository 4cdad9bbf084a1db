"""What every training shares: optimiser, learning rate, draws, which weights are kept, being taken up."""

import itertools
import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hardattn_tiny import GEOMETRY
from torch import nn

from data.errors import CheckpointError, SettingsError
from data.tensors import load_tensors
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.run_folder import run_to_the_end
from hardattn.training.trainer import Trainer, TrainingRecipe
from supervision.batches import Batch

TOTAL = 120


class LineTrainer(Trainer):
    """Fits one weight, and notes the rate of each iteration; an epoch is five of them."""

    def __init__(self, **chosen: Any) -> None:
        torch.manual_seed(0)
        recipe = TrainingRecipe(learning_rate=0.5, batch_size=4, **chosen)
        super().__init__(nn.Linear(1, 1), GEOMETRY, recipe, seed=7, images=18)
        self.rates = list[float]()

    def step(self, batch: Batch | None, fraction: float) -> None:
        with self.draws() as generator:
            values = torch.randn(4, 1, generator=generator)
            loss = nn.functional.dropout(self.network(values)).square().mean()
        self.descend([{"square": loss}], fraction)
        self.rates.append(self.optimiser.param_groups[0]["lr"])


def trained(trainer: LineTrainer, until: int) -> LineTrainer:
    while trainer.iteration < until:
        trainer.step(None, trainer.iteration / TOTAL)
    return trainer


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    by_hand = [0.5 * min(1, (i + 1) / 50) * (1 + math.cos(math.pi * i / TOTAL)) / 2 for i in range(TOTAL)]
    assert trained(LineTrainer(), TOTAL).rates == pytest.approx(by_hand, rel=1e-12)


def test_the_rate_stays_or_falls_after_every_epoch() -> None:
    assert trained(LineTrainer(schedule="none"), TOTAL).rates == [0.5] * TOTAL
    by_hand = [0.5 * 0.9 ** (i // 5) for i in range(TOTAL)]
    assert trained(LineTrainer(schedule="decay=0.9"), TOTAL).rates == pytest.approx(by_hand, rel=1e-12)


RECIPES: list[dict[str, Any]] = [
    {},
    {"schedule": "none", "clip": None},
    {"schedule": "decay=0.95"},
    {"optimizer": "adam", "weight_decay": 0.0},
    {"optimizer": "sgd", "weight_decay": 0.01},
    {"optimizer": "sgd", "momentum": 0.9, "schedule": "decay=0.95"},
]


@pytest.mark.parametrize("left_at", [0, 1, 60])
@pytest.mark.parametrize("chosen", RECIPES, ids=str)
def test_taken_up_it_goes_on_as_it_would_have(left_at: int, chosen: dict[str, Any]) -> None:
    whole, first, second = (LineTrainer(**chosen) for _ in range(3))
    trained(whole, TOTAL), trained(first, left_at)
    tensors, about = first.state()
    second.restore({name: value.clone() for name, value in tensors.items()}, about)
    trained(second, TOTAL)
    assert first.rates + second.rates == whole.rates
    for name, value in whole.state()[0].items():
        assert torch.equal(second.state()[0][name], value), name


def followed(chosen: dict[str, Any], steps: int = 3) -> list[float]:
    """The weight of w -> 1000 w after each step; its gradient is 1000 throughout."""
    trainer = LineTrainer(schedule="none", **chosen)
    weight = trainer.network.get_parameter("weight")
    path = [weight.item()]
    for _ in range(steps):
        trainer.descend([{"slope": 1000 * weight.sum()}], 0.0)
        path.append(weight.item())
    return [after - before for before, after in itertools.pairwise(path)]


def test_steps_of_the_optimisers_by_hand() -> None:
    """Rate 0.5: SGD goes by the gradient and what it remembers, Adam by its sign, AdamW shrinks first."""
    sgd: dict[str, Any] = {"optimizer": "sgd", "weight_decay": 0.0}
    assert followed(sgd) == pytest.approx([-0.5] * 3)  # clipped to a norm of 1
    assert followed(sgd | {"clip": None}) == pytest.approx([-500] * 3)
    assert followed(sgd | {"momentum": 0.5}) == pytest.approx([-0.5, -0.75, -0.875])
    assert followed({"optimizer": "adam", "weight_decay": 0.0}) == pytest.approx([-0.5] * 3, rel=1e-4)
    start = LineTrainer().network.get_parameter("weight").item()
    assert followed({}, 1) == pytest.approx([-0.5 - 0.5 * 0.1 * start], rel=1e-4)
    decayed = followed({"optimizer": "sgd", "weight_decay": 0.1, "clip": None}, 1)
    assert decayed == pytest.approx([-0.5 * (1000 + 0.1 * start)])


CHECKS = [(0.9, 0.2), (0.5, 0.6), (0.4, 0.6), (0.6, 0.8), (0.7, 0.8)]  # NLL and accuracy


@pytest.mark.parametrize(("select", "kept"), [("nll", 2), ("accuracy", 3)])
def test_the_best_weights_are_kept(
    select: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of those that are alike; and no others when the training is taken up in between."""
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 1)

    def validate(network: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
        nll, accuracy = next(figures)
        return {"nll": nll, "accuracy": accuracy}, {}

    figures = iter(CHECKS)
    for until in (3, 4):
        batches, budget = itertools.repeat(cast(Batch, None)), Budget()
        run_to_the_end(LineTrainer(select=select), batches, validate, tmp_path, budget, until)
    assert load_tensors(tmp_path / checkpoint.MODEL, "")[1]["iteration"] == kept


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"momentum": 0.9}, "expected --optimizer sgd with --momentum, found adamw; change one"),
        ({"momentum": 0.9, "optimizer": "adam"}, "--optimizer sgd with --momentum, found adam;"),
        ({"momentum": 1.0, "optimizer": "sgd"}, "momentum of 0 to 0.9999, found 1.0"),
        ({"optimizer": "adagrad"}, "--optimizer of adamw, adam, sgd; found 'adagrad'"),
        ({"select": "loss"}, "--select of nll, accuracy; found 'loss'"),
        (
            {"schedule": "linear"},
            "--schedule of cosine, none, one-cycle or decay=G, .* found 'linear'; change it",
        ),
        ({"schedule": "decay=1.5"}, "G between 0 and 1, found 'decay=1.5'"),
        ({"schedule": "decay=slow"}, "found 'decay=slow'"),
        ({"schedule": "none=0.5"}, "found 'none=0.5'"),
        ({"clip": 0.0}, "clip of .*, found 0.0"),
    ],
)
def test_what_is_none_or_does_nothing_is_refused(chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        TrainingRecipe(**chosen)


def test_a_state_of_other_weights_is_refused() -> None:
    """As that of version 0.1, whose parameters had another order."""
    trainer, other = trained(LineTrainer(), 1), LineTrainer()
    tensors, about = trainer.state()
    swapped = tensors | {"optimiser.0.exp_avg": tensors["optimiser.1.exp_avg"]}
    with pytest.raises(
        CheckpointError, match=r"exp_avg of parameter 0 is \(1,\), not \(1, 1\); finish it with"
    ):
        other.restore(swapped, about)


def test_draws_of_a_training_leave_those_of_others_alone() -> None:
    trainer = LineTrainer()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with trainer.draws() as generator:
        first = torch.rand(2), torch.rand(2, generator=generator)
    assert torch.equal(torch.rand(2), expected)
    with trainer.draws() as generator:
        again = torch.rand(2), torch.rand(2, generator=generator)
    assert torch.equal(again[0], first[0]) and torch.equal(again[1], first[1])
