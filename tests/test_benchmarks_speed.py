"""The speed benchmark: its loop sees what the sensor sees, and every figure is there."""

import json

import pytest
import torch
from click.testing import CliRunner

import benchmarks.train_speed
from benchmarks.train_speed import TASKS, gathering, loop_glimpses, made_up, main


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


def test_one_call_is_faster_than_the_loop() -> None:
    once, loop = gathering(TASKS["28"], torch.device("cpu"), 0.05)
    assert once > 5 * loop


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
