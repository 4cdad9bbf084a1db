"""Images per second on a GPU by arithmetic, of the tasks of `benchmarks.train_speed`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.cuda.precisions import PRECISIONS, precision
from benchmarks.train_speed.command import TASKS, learner_of, made_up
from data.gpu import is_gpu
from hardattn.model.looking import look_at_all
from hardattn.training.learner import Learner
from supervision.batches import Batch

METHODS = ("ram", "nogs-all")
WARM_UP = 3
AT_ONCE = 10  # calls between which a GPU is not waited for


def training(name: str, device: torch.device, seconds: float) -> dict[str, Any]:
    """Images per second of each method in each arithmetic, the default network.

    Args:
        name: of the task.
        device: where.
        seconds: of each measurement.
    """
    found: dict[str, Any] = {}
    for method in METHODS:
        for digits in PRECISIONS:
            learner, batches = learner_of(TASKS[name], method, device, {})
            with precision(digits, device):
                found[f"{method}, {digits}"] = stepping(learner, batches, device, seconds)
    return found


def stepping(learner: Learner, batches: Iterator[Batch], device: torch.device, seconds: float) -> int:
    """Images per second of training."""
    size = learner.recipe.batch_size
    return round(per_second(lambda: learner.step(next(batches), 0.1), size, device, seconds))


def inference(name: str, device: torch.device, seconds: float) -> dict[str, Any]:
    """Images per second, greedy, in batches of 1,000."""
    task, found = TASKS[name], dict[str, Any]()
    split, learner = made_up(task, device), learner_of(task, "ram", device, {})[0]
    for digits in PRECISIONS:
        with precision(digits, device):
            rate = per_second(
                lambda: look_at_all(learner.network, split, task.geometry, task.glimpses, mode="greedy"),
                len(split),
                device,
                seconds,
            )
        found[digits] = round(rate)
    return found


def compiled_training(name: str, device: torch.device, seconds: float) -> dict[str, Any]:
    """Images per second of compiled steps of REINFORCE, bfloat16 on a GPU, and the seconds of the first."""
    learner, batches = learner_of(TASKS[name], METHODS[0], device, {})
    learner.compile()
    start = time.perf_counter()
    learner.step(next(batches), 0.1)
    first = round(time.perf_counter() - start, 1)
    rate = stepping(learner, batches, device, seconds)
    return {METHODS[0]: rate, "seconds_of_the_first_step": first}


def per_second(work: Callable[[], Any], images: int, device: torch.device, seconds: float) -> float:
    """Images per second of a call that handles so many, over at least `seconds`."""
    for _ in range(WARM_UP):
        work()
    calls, start, many = 0, now(device), AT_ONCE if is_gpu(device) else 1
    while calls == 0 or now(device) - start < seconds:
        for _ in range(many):
            work()
        calls += many
    return calls * images / (now(device) - start)


def now(device: torch.device) -> float:
    """Seconds; a GPU is waited for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
