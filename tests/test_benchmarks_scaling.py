"""How cost grows: slopes, what is expected of them, and that every work runs in every size."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import benchmarks.scaling.command
import benchmarks.scaling.works
from benchmarks.scaling.command import BASES, EXPECTED, FACTORS, Budget, growth, main, slope, table
from benchmarks.scaling.works import TINY, WORKS, Point, Sizes, dataset_of, measure, measure_apart
from data.dataset import SPLITS


def test_a_power_has_its_exponent_as_slope() -> None:
    sizes = [10, 20, 40, 80]
    assert slope(sizes, [3.0 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert slope(sizes, [7.0] * 4) == pytest.approx(0)
    assert 0.5 < slope(sizes, [50.0 + size for size in sizes]) + 0.2 < 1  # a constant part makes it smaller


def row(
    seconds: list[float], megabytes: list[float], factor: str = "places"
) -> benchmarks.scaling.command.Growth:
    sizes = [replace(Sizes(), **{factor: 36 * 2**n}) for n in range(len(seconds))]
    points = [Point(*both) for both in zip(seconds, megabytes, strict=True)]
    return growth("design", factor, sizes, points)


def test_growth_is_of_the_sizes_as_they_are() -> None:
    """Grids are square, so that places do not double exactly."""
    found = row([36.0, 64.0, 144.0], [20.0, 20.0, 20.0])
    assert found.sizes == (36, 64, 144)
    assert found.slope == pytest.approx(1) and found.memory_slope == pytest.approx(0)
    assert found.as_expected


def test_what_grows_faster_is_said() -> None:
    assert not row([1.0, 4.0, 16.0], [20.0, 20.0, 20.0], "bank").as_expected
    assert not row([1.0, 2.0, 4.0], [20.0, 80.0, 320.0], "bank").as_expected
    little = row([1.0, 2.0, 4.0], [0.1, 1.0, 7.0], "bank")
    assert little.memory_slope is None and little.as_expected
    lines = table([row([1.0, 4.0, 16.0], [20.0, 20.0, 20.0], "bank"), little]).splitlines()
    assert "faster than expected" in lines[2] and "faster" not in lines[3]


def test_a_budget_is_held_where_no_more_is_kept() -> None:
    assert Budget(0.1, 10, megabytes=150.0, without=50.0).held
    over = Budget(0.1, 10, megabytes=153.0, without=50.0)
    assert not over.held and "NOT HELD" in str(over) and "153 MB within 0.1 GB" in str(over)


def test_every_work_has_sizes_and_expectations() -> None:
    assert set(EXPECTED) == set(WORKS) == set(BASES)
    assert {factor for of in EXPECTED.values() for factor in of} == set(FACTORS)
    assert set(FACTORS) | {"memory_gb"} == {field.name for field in fields(Sizes)}


def test_a_task_has_the_sizes_that_are_asked_for() -> None:
    dataset = dataset_of(replace(TINY, images=50, side=20, classes=3, glimpses=4))
    assert len(dataset["train"]) == 50 and dataset["train"].images.shape[1:] == (20, 20, 1)
    assert len(dataset.classes) == 3 and dataset.glimpses == 4 and set(dataset) == set(SPLITS)
    assert len(replace(TINY, places=25).geometry().grid()) == 25


def test_what_is_short_is_done_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    now, threads = [0.0], torch.get_num_threads()

    def work() -> None:
        now[0] += 0.1

    monkeypatch.setattr("time.process_time", lambda: now[0])
    monkeypatch.setitem(WORKS, "design", lambda sizes: work)
    try:
        assert measure("design", TINY).seconds == pytest.approx(0.1)
    finally:
        torch.set_num_threads(threads)
    assert now[0] == pytest.approx(0.1 + 0.3, abs=0.11)  # once in a tiny size, then until it is long enough


def test_a_process_of_its_own_has_its_own_memory() -> None:
    block = torch.ones(2**24)  # 64 MB that are not the work's
    found = measure_apart("design", TINY)
    assert found.seconds > 0 and 0 <= found.megabytes < block.numel() * 4 / 2**20


@pytest.mark.parametrize("name", ["fit", "training"])  # the others are in other tests
def test_every_work_runs(name: str) -> None:
    WORKS[name](TINY)()


def test_the_command_line_says_what_it_measured(tmp_path: Path) -> None:
    picture = tmp_path / "new" / "scaling.png"
    chosen = [
        "--quick",
        "--doublings",
        "1",
        "--work",
        "design",
        "--work",
        "prediction",
        "--factor",
        "bank",
        "--out",
    ]
    result = CliRunner().invoke(main, [*chosen, str(picture)])
    assert result.exit_code == 0, result.output
    assert "| design | bank    | 40 to 80 |" in result.stdout and "prediction" not in result.stdout
    assert "memory of designs with a bank of 80" in result.stdout
    assert picture.stat().st_size > 5000


def test_all_works_are_measured_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made_up(name: str, sizes: Sizes) -> Point:
        return Point(1e-3 * sizes.images * sizes.glimpses, 10.0 + 0.1 * sizes.bank)

    monkeypatch.setattr(benchmarks.scaling.command, "measure_apart", made_up)
    picture = tmp_path / "scaling.png"
    result = CliRunner().invoke(main, ["--out", str(picture), "--json", "--memory-gb", "0.5"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    slopes = {(each["work"], each["factor"]): each["slope"] for each in found["rows"]}
    assert set(slopes) == {(work, factor) for work, of in EXPECTED.items() for factor in of}
    grow = {pair for pair, value in slopes.items() if value > 0.5}
    assert grow == {(work, factor) for work, factor in slopes if factor in ("images", "glimpses")}
    assert all(len(each["sizes"]) == len(each["seconds"]) == 4 for each in found["rows"])
    assert found["budget"] | {"bank": 3200, "memory_gb": 0.5, "held": True} == found["budget"]
    assert picture.stat().st_size > 5000


def test_a_size_that_a_work_has_not_is_refused() -> None:
    result = CliRunner().invoke(main, ["--work", "training", "--factor", "bank"])
    assert result.exit_code == 2 and "expected a size of training, found bank" in result.output
