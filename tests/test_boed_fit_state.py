"""The state of an interrupted training, with an optimiser of torch, and what a training draws."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from boed.fitting import fit_state
from boed.fitting.fit_state import resume_state, save_state, seeded_iterations
from boed.fitting.training import train
from data.errors import CheckpointError

TASK = {"seed": 0, "places": [1, 2]}


class Counting:
    """An optimiser with a number beside a tensor for each of its parameters, which have names with dots."""

    def __init__(self, steps: int = 0) -> None:
        self.state: dict[Any, Any] = {
            f"layer.{n}.weight": {"step": steps + n, "moment": torch.tensor(0.1 * (steps + n))}
            for n in range(2)
        }

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state, "param_groups": []}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        self.state = state_dict["state"]


def network_of(value: float) -> nn.Linear:
    network = nn.Linear(3, 2)
    nn.init.constant_(network.weight, value)
    nn.init.constant_(network.bias, -value)
    return network


def stepped(network: nn.Module, steps: int) -> torch.optim.Optimizer:
    optimiser = torch.optim.AdamW(network.parameters(), 0.1)
    for step in range(steps):
        optimiser.zero_grad()
        network(torch.full((1, 3), step + 1.0)).square().sum().backward()
        optimiser.step()
    return optimiser


def test_a_restored_optimiser_goes_on_as_the_saved_one(tmp_path: Path) -> None:
    one = network_of(0.5)
    saved = stepped(one, 3)
    save_state(tmp_path / "state", TASK, 3, one, saved)
    other = network_of(0.0)
    found = torch.optim.AdamW(other.parameters(), 0.1)
    assert resume_state(tmp_path / "state", TASK, other, found) == 3
    for network, optimiser in ((one, saved), (other, found)):
        network.zero_grad()
        network(torch.ones(1, 3)).sum().backward()
        optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(one.weight, torch.full((2, 3), 0.5))


def test_what_belongs_to_a_named_parameter_is_kept_as_it_is(tmp_path: Path) -> None:
    """Numbers stay numbers: a tensor in the place of a count of steps would be rounded otherwise."""
    save_state(tmp_path / "state", TASK, 7, network_of(1.0), Counting(5))
    found = Counting()
    assert resume_state(tmp_path / "state", TASK, network_of(0.0), found) == 7
    assert found.state.keys() == Counting().state.keys()
    for name, slots in Counting(5).state.items():
        assert type(found.state[name]["step"]) is int and found.state[name]["step"] == slots["step"]
        assert torch.equal(found.state[name]["moment"], slots["moment"])


def test_without_a_state_a_training_begins(tmp_path: Path) -> None:
    network, optimiser = network_of(1.0), Counting(5)
    assert resume_state(tmp_path / "state", TASK, network, optimiser) == 0
    assert torch.equal(network.weight, torch.ones(2, 3)) and optimiser.state == Counting(5).state


@pytest.mark.parametrize("changed", [{"seed": 1}, {"places": [1]}, {"width": 3}], ids=str)
def test_a_state_of_another_task_is_refused_and_nothing_restored(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    ((name, value),) = changed.items()
    save_state(tmp_path / "state", TASK, 3, network_of(1.0), Counting())
    network, found = network_of(0.0), "null" if name == "width" else str(TASK[name])
    message = f"interrupted fit in {tmp_path} with {name} = {value}, found {found}; use the same settings"
    with pytest.raises(CheckpointError) as refused:
        resume_state(tmp_path / "state", TASK | changed, network, Counting())
    assert message in str(refused.value)
    assert torch.equal(network.weight, torch.zeros(2, 3))


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "state", TASK, 3, network_of(1.0), Counting())
    content = (tmp_path / "state").read_bytes()
    (tmp_path / "state").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        resume_state(tmp_path / "state", TASK, network_of(0.0), Counting())


def draws(iterations: int, *, seed: int = 0, state: Path | None = None, stop: int = -1) -> list[list[float]]:
    """What each iteration draws from its own generator and from torch's, up to an interruption."""
    found = []
    for i, generator in seeded_iterations(
        network_of(0.0), Counting(), iterations=iterations, seed=seed, state=state, task=TASK, title="draw"
    ):
        if i == stop:
            break
        found.append([i, torch.rand((), generator=generator).item(), torch.randn(()).item()])
    return found


def test_an_iteration_draws_from_seed_and_number_alone() -> None:
    torch.manual_seed(5)
    one = draws(4)
    torch.manual_seed(6)
    assert draws(6)[:4] == one
    assert len({value for values in (*one, *draws(4, seed=1)) for value in values[1:]}) == 16


@pytest.mark.parametrize(("stop", "left"), [(1, 7), (3, 4), (5, 4), (6, 1)])
def test_an_interruption_loses_what_came_after_the_last_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, left: int
) -> None:
    monkeypatch.setattr(fit_state, "SAVE_EVERY", 3)
    assert len(draws(7, state=tmp_path / "state", stop=stop)) == stop
    assert draws(7, state=tmp_path / "state") == draws(7)[7 - left :]
    assert draws(7, state=tmp_path / "state") == []  # nothing is left to do


def test_training_minimises_a_loss_with_a_falling_rate(tmp_path: Path) -> None:
    """Of a noisy quadratic the minimum is found, and the last steps hardly move."""
    network, seen, modes = nn.Linear(1, 1, bias=False), list[float](), set[bool]()

    def loss(generator: torch.Generator) -> Tensor:
        seen.append(network.weight.item())
        modes.add(network.training)
        return (network.weight - 3 - 0.5 * torch.randn((), generator=generator)).square().sum()

    train(
        network.eval(),
        loss,
        iterations=300,
        seed=0,
        state=tmp_path / "state",
        task=TASK,
        title="fit",
        learning_rate=0.1,
        weight_decay=0.0,
    )
    assert modes == {True} and not network.training
    assert network.weight.item() == pytest.approx(3, abs=0.15)
    moves = torch.tensor(seen).diff().abs()
    assert moves[-5:].max() < 0.001 < 0.05 < moves[20:40].max()
