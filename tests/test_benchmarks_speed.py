"""The speed benchmark: its rival sees what the sensor sees and learns, and every figure is there."""

import json
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch.utils._python_dispatch import TorchDispatchMode

import benchmarks.train_speed.command
from benchmarks.alternation import Spread, Work, rates
from benchmarks.train_speed.command import METHOD, NETWORKS, TASKS, made_up, main, mflops, stepping
from benchmarks.train_speed.own_products import own_products
from benchmarks.train_speed.ram_loop import LoopTraining, loop_patches


@pytest.mark.parametrize("name", TASKS)
def test_the_loop_sees_what_the_sensor_sees(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.train_speed.command, "IMAGES", 6)
    geometry = TASKS[name].geometry
    split, grid = made_up(TASKS[name], torch.device("cpu")), geometry.grid()
    index, places = torch.tensor([3, 0]), torch.tensor([[0, len(grid) - 1, 7], [5, 1, len(grid) // 2]])
    once = geometry.retina()(split.images, index, grid.locations[places])
    images = split.images.permute(0, 3, 1, 2).float()[index] / 255
    for step in range(places.shape[1]):
        centres = geometry.centres(grid.locations[places[:, step]]) + 1e-4  # not a rounding below the pixel
        seen = loop_patches(images, centres, geometry.glimpse_size, geometry.scales)
        torch.testing.assert_close(seen, once[:, step], atol=1e-5, rtol=1e-5)


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
    """The same few for any number of images, where the loop has some for every scale of every image."""
    monkeypatch.setattr(benchmarks.train_speed.command, "IMAGES", 12)
    geometry = TASKS[name].geometry
    split, counts = made_up(TASKS[name], torch.device("cpu")), {}
    images = split.images.permute(0, 3, 1, 2).float()
    for count in (6, 12):
        index, places = torch.arange(count), geometry.grid().locations[:1].expand(count, 1, -1)
        with Counted() as once:
            geometry.retina()(split.images, index, places)
        with Counted() as loop:
            loop_patches(images[:count], torch.zeros(count, 2), geometry.glimpse_size, geometry.scales)
        counts[count] = (once.operations, loop.operations)
    assert counts[6][0] == counts[12][0]
    assert counts[12][1] > 1.8 * counts[6][1] - 20 and counts[12][1] >= 12 * geometry.scales


def test_the_loop_learns() -> None:
    """To tell bright images from dark ones."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 2
    images = 0.1 * torch.rand(64, 1, 12, 12)
    images[labels == 1] += 0.8
    loop = LoopTraining(images, labels, size=4, scales=2, glimpses=2, hidden=64, classes=2)
    losses = [loop.step(torch.arange(64))[0] for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]
    assert (loop.predict(torch.arange(64)) == labels).float().mean() > 0.9


@pytest.mark.parametrize("name", NETWORKS)
def test_the_products_of_a_step_are_its_operations_and_nothing_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarks.train_speed.command, "IMAGES", 256)
    learner, step = stepping(TASKS["28"], name, "imitation", torch.device("cpu"))
    again, weights = own_products(step), learner.network.class_head.weight
    assert mflops(again, 1) == pytest.approx(mflops(step, 1))
    before = weights.clone()
    again()
    assert torch.equal(weights, before)
    step()
    assert not torch.equal(weights, before)


def test_in_a_round_each_work_has_its_turn() -> None:
    order: list[str] = []
    works = {name: Work(lambda name=name: order.append(name), 3.0) for name in "ab"}  # type: ignore[misc]
    ticks = iter(range(1000))
    found = rates(works, rounds=2, seconds=0.0, clock=lambda: float(next(ticks)))
    assert "".join(order) == "aaabbb" + "abab" and [len(rate) for rate in found.values()] == [2, 2]
    assert found["a"] == [1.5, 1.5]  # 3 in two ticks of the clock
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0)


def test_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.train_speed.command, "IMAGES", 256)
    threads, options = torch.get_num_threads(), ["--task", "28", "--seconds", "0.01", "--rounds", "2"]
    try:
        machine = CliRunner().invoke(main, [*options, "--json"])
        monkeypatch.setattr(benchmarks.train_speed.command, "require_compiler", lambda: None)
        monkeypatch.setattr(torch, "compile", lambda forward, **_: forward)
        human = CliRunner().invoke(main, [*options, "--compile"])
    finally:
        torch.set_num_threads(threads)
    assert machine.exit_code == 0, machine.output
    found = json.loads(machine.stdout)["tasks"]["28"]
    assert found["product_gflops"] > 0
    loop = found["works"]["loop, training"]
    assert "times_the_loop" not in loop and loop["share_of_product_rate"] > 0
    for network, share in zip(NETWORKS, (1, 2), strict=True):
        for kind in METHOD:
            part = found["works"][f"{network}, {kind}"]
            assert part["asked"] == TASKS["28"].asked[kind] / share
            assert part["times_the_loop"]["least"] <= part["times_the_loop"]["middle"]
            assert sum(part["shares"].values()) == pytest.approx(1, abs=0.01)
            assert {"gather", "encode", "heads", "backward and optimiser", "the rest"} == set(part["shares"])
            alone = found["works"][f"{network}, {kind}, its products alone"]
            assert alone["mflops"] == part["mflops"] and "asked" in alone
            assert part["mflops"] > 2 * found["works"][f"{network}, inference"]["mflops"] > 0
    assert human.exit_code == 0 and "times the loop" in human.stdout and "asked 3" in human.stdout
    assert human.stdout.count("compiled in") == len(NETWORKS) * len(METHOD)
