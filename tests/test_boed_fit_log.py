"""The curves of a fit: means of what is minimised, the same when it is taken up, and told to a tracker."""

from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import pytest
import torch
from boed_tiny import pointer_dataset
from torch import Tensor, nn

from boed.combination import Combination
from boed.fitting import fit_log, fit_state
from boed.fitting.fit import fit
from boed.fitting.fit_log import LOG, Curve, fit_followed
from boed.fitting.training import train
from data.logs import read_log

EVERY = 4


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_log, "EVERY", EVERY)
    monkeypatch.setattr(fit_state, "SAVE_EVERY", 2 * EVERY)


class Told:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.points = list[tuple[str, int, float]]()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.points += [(name, step, value) for name, value in metrics.items()]


def trained(folder: Path, before: int, iterations: int, stop: int | None = None) -> list[float]:
    """The losses of a training of one weight, which may be killed at an iteration."""
    torch.manual_seed(0)
    network, losses = nn.Linear(1, 1, bias=False), list[float]()

    def loss(generator: torch.Generator) -> Tensor:
        if len(losses) == stop:
            raise KeyboardInterrupt
        value = (network.weight - torch.randn((), generator=generator)).square().mean()
        losses.append(value.item())
        return value

    train(
        *(network, loss),
        iterations=iterations,
        seed=before,
        state=folder / f"state-{before}",
        task={},
        title="a weight",
        curve=Curve("loss_q", before),
        learning_rate=0.1,
        weight_decay=0.0,
    )
    return losses


def test_a_line_is_the_mean_of_what_was_minimised_since_the_last(tmp_path: Path) -> None:
    """On one axis for all trainings of a curve; the last line of each has what is left."""
    first, second = trained(tmp_path, 0, 6), trained(tmp_path, 6, 4)
    parts = {4: first[:4], 6: first[4:], 10: second}
    assert [(line["iteration"], line["loss_q"]) for line in read_log(tmp_path / LOG)] == [
        (end, pytest.approx(mean(losses), abs=1e-5)) for end, losses in parts.items()
    ]


@pytest.mark.parametrize("stop", [3, 9, 14])
def test_a_training_that_is_taken_up_has_the_same_curve(tmp_path: Path, stop: int) -> None:
    trained(tmp_path / "whole", 0, 18), trained(tmp_path / "parts", 6, 2)  # of a fit that is done again
    told = Told()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", 0, 18, stop)
    with fit_followed(told, tmp_path / "parts", dict):
        trained(tmp_path / "parts", 0, 18)
    whole, parts = (list(read_log(tmp_path / name / LOG)) for name in ("whole", "parts"))
    assert whole == parts and len(whole) == 5
    new = whole[stop // (2 * EVERY) * 2 :]
    assert told.points == [("loss_q", line["iteration"], line["loss_q"]) for line in new]


def test_a_fit_tells_the_losses_of_all_that_it_learns(tmp_path: Path) -> None:
    dataset, told = pointer_dataset(train=100), Told()
    size = {"iterations": 16, "width": 8}
    fit(dataset, tmp_path, combination=Combination.of(completion="cvae"), tracker=told, **size)
    fit(dataset, tmp_path, combination=Combination.of(estimator="amortised"), tracker=told, **size)
    steps: dict[str, list[int]] = {}
    for name, step, value in told.points:
        steps.setdefault(name, []).append(step)
        assert value == value and abs(value) < 100
    assert steps == {
        "loss_q": [2, 6, 8, 10, 12, 16],
        "loss_completion": [4, 8, 12, 16],
        "loss_estimator": [2],
    }
    logged = [line["iteration"] for line in read_log(tmp_path / LOG)]
    assert logged == [step for curve in steps.values() for step in curve]
    fit(dataset, tmp_path, combination=Combination.of(estimator="amortised"), tracker=told, **size)
    assert len(told.points) == sum(map(len, steps.values()))
