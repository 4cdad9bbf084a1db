"""The speed benchmark: its loop sees what the sensor sees, and every figure is there."""

import json
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch.utils._python_dispatch import TorchDispatchMode

import benchmarks.train_speed
from benchmarks.train_speed import TASKS, loop_glimpses, made_up, main


@pytest.mark.parametrize("name", TASKS)
def test_the_loop_sees_what_the_sensor_sees(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.train_speed, "IMAGES", 6)
    task = TASKS[name]
    split, grid = made_up(task, torch.device("cpu")), task.geometry.grid()
    index = torch.tensor([3, 0])
    places = torch.tensor([[0, len(grid) - 1, 7], [5, 1, len(grid) // 2]])
    once = task.geometry.retina()(split.images, index, grid.locations[places])
    loop = loop_glimpses(split.images, index, grid.locations[places], task.geometry)
    torch.testing.assert_close(loop, once, atol=1e-5, rtol=1e-5)


class Counted(TorchDispatchMode):
    """Counts the operations of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("name", TASKS)
def test_one_call_spares_the_operations_of_the_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same few for any number of images, where the loop has some for every scale of every glimpse."""
    monkeypatch.setattr(benchmarks.train_speed, "IMAGES", 12)
    task = TASKS[name]
    split, retina = made_up(task, torch.device("cpu")), task.geometry.retina()
    counts = {}
    for images in (6, 12):
        index, places = torch.arange(images), task.geometry.grid().locations[:5].expand(images, -1, -1)
        with Counted() as once:
            retina(split.images, index, places)
        with Counted() as loop:
            loop_glimpses(split.images, index, places, task.geometry)
        counts[images] = (once.operations, loop.operations)
    assert counts[6][0] == counts[12][0] < counts[12][1] / 5
    assert counts[12][1] > 1.8 * counts[6][1] and counts[12][1] >= 12 * 5 * task.geometry.scales


def test_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.train_speed, "IMAGES", 256)
    threads = torch.get_num_threads()
    try:
        machine = CliRunner().invoke(main, ["--task", "28", "--seconds", "0.01", "--json"])
        human = CliRunner().invoke(main, ["--task", "28", "--seconds", "0.01"])
    finally:
        torch.set_num_threads(threads)
    assert machine.exit_code == 0, machine.output
    found = json.loads(machine.stdout)["tasks"]["28"]
    assert found["goal"] == 8000 and found["public_code"] == 2530
    for network in ("default", "published"):
        for method in ("imitating", "reinforce"):
            part = found[network][method]
            assert part["images_per_cpu_second"] >= 0.9 * part["images_per_second"] > 0 and part["mflops"] > 1
            assert sum(part["shares"].values()) == pytest.approx(1, abs=0.01)
            assert {"gather", "encode", "heads", "backward and optimiser", "the rest"} == set(part["shares"])
    assert human.exit_code == 0 and "times a loop" in human.stdout
