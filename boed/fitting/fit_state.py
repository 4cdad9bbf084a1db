"""The state of an interrupted training in one file, which only the same training takes up again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from boed.fitting.fit_log import Curve, tell
from data.device import seed_draws
from data.errors import CheckpointError
from data.progress import progress
from data.tensors import load_tensors, save_tensors

SAVE_EVERY = 500


class Optimiser(Protocol):
    """What is kept of an optimiser, as those of torch say it.

    Its state is {"state": {parameter: {name: tensor or JSON-able}}, "param_groups": [...]}; parameters are
    numbered, or have names. Only what belongs to a parameter is written: the groups are those of a new one.
    """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None: ...


def seeded_iterations(
    network: nn.Module,
    optimiser: Optimiser,
    *,
    iterations: int,
    seed: int,
    state: Path | None,
    task: dict[str, Any],
    title: str,
    curve: Curve | None = None,
) -> Iterator[tuple[int, torch.Generator]]:
    """The iterations of a training that are still to be done, each with a generator of its own.

    Torch's global generator is seeded as well, before each of them: dropout and Pyro have no generator
    argument. So iteration i draws from (seed, i) alone. After every 500 iterations and at the end the state
    is saved, so that an interrupted training is taken up with the result of an uninterrupted one.

    Args:
        network, optimiser: what a saved state is restored into.
        iterations: of the whole training.
        seed: of all that is drawn.
        state: file of the interrupted state; removed by the caller when all is done. None: nothing is kept.
        task: JSON-able, what the training depends on; a state of another task is refused.
        title: of the progress bar.
        curve: is given the loss by the caller, and written beside the state.

    Raises:
        CheckpointError: `state` is damaged, or of another task (both values are shown).
    """
    start = 0 if state is None else resume_state(state, task, network, optimiser)
    if state is not None and curve is not None:
        curve.take_up(state.parent, start)
    for i in progress(range(start, iterations), initial=start, total=iterations, desc=title, unit="it"):
        seed_draws(seed * 1_000_003 + i)
        yield i, torch.Generator().manual_seed(seed * 1_000_003 + i)
        if curve is not None:
            curve.end_of(i + 1, last=i + 1 == iterations)
        if state is not None and ((i + 1) % SAVE_EVERY == 0 or i + 1 == iterations):
            if curve is not None:
                curve.write(state.parent)
            save_state(state, task, i + 1, network, optimiser)
            tell()


def save_state(
    path: Path, task: dict[str, Any], iteration: int, network: nn.Module, optimiser: Optimiser
) -> None:
    """Writes the state of an interrupted training beside its name, then renames."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    plain = dict[str, dict[str, Any]]()
    for parameter, slots in optimiser.state_dict()["state"].items():
        moments = {name: value for name, value in slots.items() if isinstance(value, Tensor)}
        tensors |= {f"optimiser.{parameter}.{name}": value for name, value in moments.items()}
        plain[str(parameter)] = {name: value for name, value in slots.items() if name not in moments}
    save_tensors(path, tensors, {"task": task, "iteration": iteration, "optimiser": plain})


def resume_state(path: Path, task: dict[str, Any], network: nn.Module, optimiser: Optimiser) -> int:
    """Restores a saved state of the same training; the iteration to go on from, 0 where there is no state.

    Raises:
        CheckpointError: the state is damaged, or of another task (both values are shown).
    """
    if not path.is_file():
        return 0
    tensors, about = load_tensors(path, "boed fit")
    _require_task(path, task, about["task"])
    own = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    network.load_state_dict(own)
    slots = {_parameter(name): dict(values) for name, values in about["optimiser"].items()}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            parameter, _, name = key.removeprefix("optimiser.").rpartition(".")
            slots[_parameter(parameter)][name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})
    return int(about["iteration"])


def _require_task(path: Path, task: dict[str, Any], found: dict[str, Any]) -> None:
    for name, value in task.items():
        if found.get(name) != value:
            raise CheckpointError(
                f"expected the interrupted fit in {path.parent} with {name} = {json.dumps(value)}, found "
                f"{json.dumps(found.get(name))}; use the same settings or another --run folder"
            )


def _parameter(key: str) -> int | str:
    """The number or name of a parameter, which the file has as text."""
    return int(key) if key.isdecimal() else key
