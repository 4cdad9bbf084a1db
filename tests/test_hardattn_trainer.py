"""What every training shares: its learning rate, its draws, and being taken up."""

import math

import pytest
import torch
from hardattn_tiny import GEOMETRY
from torch import nn

from data.errors import CheckpointError
from hardattn.training.trainer import Trainer, TrainingRecipe
from supervision.batches import Batch

TOTAL = 120


class LineTrainer(Trainer):
    """Fits one weight, and notes the rate of each iteration."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Linear(1, 1), GEOMETRY, TrainingRecipe(learning_rate=0.5), seed=7)
        self.rates = list[float]()

    def step(self, batch: Batch | None, fraction: float) -> None:
        with self.draws() as generator:
            values = torch.randn(4, 1, generator=generator)
            loss = nn.functional.dropout(self.network(values)).square().mean()
        self.descend(loss, fraction)
        self.rates.append(self.optimiser.param_groups[0]["lr"])


def trained(trainer: LineTrainer, until: int) -> LineTrainer:
    while trainer.iteration < until:
        trainer.step(None, trainer.iteration / TOTAL)
    return trainer


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    by_hand = [0.5 * min(1, (i + 1) / 50) * (1 + math.cos(math.pi * i / TOTAL)) / 2 for i in range(TOTAL)]
    assert trained(LineTrainer(), TOTAL).rates == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("left_at", [0, 1, 60])
def test_taken_up_it_goes_on_as_it_would_have(left_at: int) -> None:
    whole, first, second = trained(LineTrainer(), TOTAL), trained(LineTrainer(), left_at), LineTrainer()
    tensors, about = first.state()
    second.restore({name: value.clone() for name, value in tensors.items()}, about)
    trained(second, TOTAL)
    assert first.rates + second.rates == whole.rates
    for name, value in whole.state()[0].items():
        assert torch.equal(second.state()[0][name], value), name


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
