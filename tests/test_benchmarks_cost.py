"""The published loop, the stopwatch, and the table of what designs cost."""

import json
import time
from pathlib import Path

import pytest
import torch
from boed_tiny import PLACES, Enumerated, exact_approximations
from cli_tiny import assert_refused
from click.testing import CliRunner
from clock_tiny import Clock
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cost_report import Loop, Report, Row
from benchmarks.design_cost import main, time_designs, time_loop
from benchmarks.reference_loop import densenet, masked, published_epe
from benchmarks.stopwatch import Stopwatch
from data.stages import REST

CPU = torch.device("cpu")


def test_the_network_is_densenet_121() -> None:
    """Its published numbers: parameters, and 2.8 to 2.9 billion multiply-adds at 224 pixels."""
    network = densenet(3, 1000).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 7_978_856
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert network(torch.rand(1, 3, 224, 224)).shape == (1, 1000)
    assert counter.get_total_flops() == pytest.approx(2 * 2.85e9, rel=0.02)


def test_masked_images_show_the_glimpses_and_where_they_are() -> None:
    image = torch.rand(2, 3, 10, 8) + 0.1
    found = masked(image, torch.tensor([[0, 0, 3], [4, 5, 3], [5, 4, 3]]))
    assert found.shape == (2, 4, 10, 8)
    seen = found[:, 3].bool()
    assert (found[:, 3].unique() == torch.tensor([0.0, 1.0])).all()
    assert seen[0].sum() == 9 + 9 + 9 - 4  # two of them overlap
    assert torch.equal(found[:, :3], image * seen[:, None])


class MaskedExact(nn.Module):
    """The enumerated posterior as if it were a network on the masked image."""

    def __init__(self, world: Enumerated) -> None:
        super().__init__()
        self.known = world.split.images.permute(0, 3, 1, 2).float() / 255  # (24, 1, 12, 12)
        self.member = torch.nn.functional.one_hot(world.split.labels, world.classes).float()

    def forward(self, masked_images: Tensor) -> Tensor:
        image, mask = masked_images[:, None, :-1], masked_images[:, None, -1:]
        agrees = ((image - self.known * mask).abs() < 1e-3).all(-1).all(-1).all(-1)  # (N, 24)
        return (agrees.float() @ self.member).log()


@pytest.mark.parametrize("places", [[], [0], [8, 1]])
@pytest.mark.parametrize("batch", [1, 5, 100])
def test_the_loop_with_exact_parts_is_the_exact_epe(places: list[int], batch: int) -> None:
    world = Enumerated()
    network = MaskedExact(world)
    completions = network.known[world.consistent(0, places)]
    found = published_epe(network, completions, PLACES[places], PLACES, batch)
    assert found.tolist() == pytest.approx(world.epe(0, places), abs=1e-5)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: found.now)
    return found


def test_methods_are_stages_until_the_end_of_the_block(clock: Clock) -> None:
    class Worker:
        def outer(self, seconds: float) -> float:
            clock.work(seconds)
            return self.inner(2 * seconds)

        def inner(self, seconds: float) -> float:
            clock.work(seconds)
            if seconds > 99:
                raise ValueError("too long")
            return seconds

    before, watch = dict(vars(Worker)), Stopwatch()
    with watch.patched(Worker, {"outer": "a", "inner": "b", "gone": "c"}), watch.patched(None, {"x": "d"}):
        assert Worker().outer(3) == 6
    Worker().outer(5)
    assert watch.seconds == {"a": 3.0, "b": 6.0}
    with pytest.raises(ValueError, match="too long"), watch.patched(Worker, {"inner": "b"}):
        Worker().inner(100)
    assert dict(vars(Worker)) == before
    assert watch.seconds == {"a": 3.0, "b": 106.0}


class Slow(nn.Module):
    """A linear layer that takes a second for each input."""

    def __init__(self, clock: Clock, inputs: int) -> None:
        super().__init__()
        self.clock, self.passes, self.linear = clock, 0, nn.Linear(inputs, 2)

    def forward(self, images: Tensor) -> Tensor:
        self.passes += len(images)
        self.clock.work(len(images))
        return self.linear(images.flatten(1))


def test_the_loop_is_extrapolated_from_its_passes(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(completions=7, candidates=11, glimpses=3, side=20, glimpse_size=4, passes=5, batch=2)
    network = Slow(clock, 4 * 20 * 20)
    monkeypatch.setattr(time, "process_time", lambda: clock.now / 2)
    row = time_loop(loop, network, CPU)
    assert network.passes == 2 + 6  # a batch to warm up, then whole batches
    assert row.seconds_per_sequence == pytest.approx(7 * 11 * 3)
    assert row.cpu_seconds_per_sequence == pytest.approx(7 * 11 * 3 / 2)
    assert row.flops_per_sequence == pytest.approx(7 * 11 * 3 * 2 * 1600 * 2)  # a multiply-add is 2
    assert row.extrapolated and row.stages["network"] == 1


def test_designs_are_timed_by_stage_and_counted() -> None:
    world = Enumerated()
    row = time_designs(exact_approximations(world), world.split, torch.arange(4), (1.0, 1.0, 1.0), "ours")
    assert (
        row.seconds_per_sequence > 0
        and row.cpu_seconds_per_sequence > 0
        and row.flops_per_sequence > 0
        and not row.extrapolated
    )
    assert sum(row.stages.values()) == pytest.approx(1)
    assert set(row.stages) == {
        REST,
        "bank",
        "own maps",
        "average maps",
        "distances",
        "glimpses and statistics",
    }


def test_the_report_compares_with_the_loop() -> None:
    loop = Row("published loop", 4e5, 3e5, 1.4e16, True, {"network": 0.9, "masks": 0.1})
    ours = Row("ours", 0.4, 0.3, 7e7, False, {"look": 1.0})
    once = {"seconds": 12.0, "flops": 1e11}
    text = Report("a machine", 1, "2.4", 20, Loop(passes=6), once, [loop, ours]).text()
    lines = text.splitlines()
    assert lines[0] == "a machine, torch 2.4, 1 threads."
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[4:6]]
    assert cells[0][:3] == ["published loop (extrapolated)", "4e+05", "3e+05"]
    assert cells[0][-1] == "network 90 %, masks 10 %"
    assert cells[1] == ["ours", "0.4", "0.3", "7e+07", "1e+06", "2e+08", "look 100 %"]
    assert "2,500,000 passes" in text and "extrapolated from 8." in text
    assert "12 s" in text and "20 images" in text


def test_the_command_line_times_the_loop_alone() -> None:
    result = CliRunner().invoke(main, ["--passes", "1", "--batch", "1", "--candidates", "10", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["loop"]["candidates"] == 10 and found["threads"] == 1 and found["once"] is None
    (row,) = found["rows"]
    per_sequence = {f"{what}_per_sequence" for what in ("seconds", "cpu_seconds", "flops")}
    assert set(row) == {"name", "extrapolated", "stages", *per_sequence}
    assert row["flops_per_sequence"] == pytest.approx(5.7e9 * 200 * 10 * 5, rel=0.05)


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path / "none"), "--dataset", "digits"])
    assert_refused(result, f"a finished fit in {tmp_path / 'none'}", "found none")
