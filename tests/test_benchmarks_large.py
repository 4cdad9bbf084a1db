"""What millions of designs cost follows from what a few of them cost."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import benchmarks.large.command
from benchmarks.large.command import TASKS, Assumptions, Cost, bill, main, measured, read_costs
from benchmarks.large.files import GLIMPSES, PLACES, files_table, written_bytes
from data.errors import SettingsError
from data.geometry import Geometry
from supervision.store import SequenceStore

ASSUMED = Assumptions(cores=100, price=0.5, bytes_read=1000)


def test_a_line_has_its_two_numbers_and_costs_no_less_than_nothing_once() -> None:
    assert Cost.fitted("a", [1, 3, 5], [4.0, 8.0, 12.0]) == Cost("a", 2.0, 2.0)
    assert Cost.fitted("a", [1, 3, 5], [1.0, 5.0, 9.0]) == Cost("a", 0.0, 2.0)


def test_a_bill_is_linear_in_images_and_what_is_done_once_in_cores() -> None:
    cost = Cost("a", once=36.0, each=3.6)
    one, two = (bill("some", images, cost, ASSUMED) for images in (1000, 2000))
    assert one.core_hours == pytest.approx(1 + 1) and two.core_hours == pytest.approx(2 + 1)
    assert two.hours == pytest.approx(0.03) and two.money == pytest.approx(1.5)
    assert two.bytes_read == 2e6 and two.bytes_written == 2 * one.bytes_written
    few = bill("few", 10, cost, replace(ASSUMED, cores=10**6))  # no more cores than images
    assert few.core_hours == pytest.approx(10 * 39.6 / 3600) and few.hours == pytest.approx(39.6 / 3600)


def test_rows_have_as_many_bytes_as_a_store_writes(tmp_path: Path) -> None:
    def size(images: int) -> int:
        path, places = tmp_path / f"{images}.h5", torch.zeros(PLACES, 3, dtype=torch.int64)
        SequenceStore.write_to(path, {}, torch.arange(images), GLIMPSES, places)
        return path.stat().st_size

    assert size(3000) - size(1000) == pytest.approx(written_bytes(2000), rel=0.01)


def test_figures_of_other_benchmarks_are_read(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    grown = {"work": "design", "factor": "images", "sizes": [10, 20], "seconds": [3.0, 5.0]}
    path.write_text(json.dumps({"rows": [grown, {**grown, "factor": "bank"}, {**grown, "work": "fit"}]}))
    assert read_costs(path) == [Cost("completion", 1.0, 0.2)]
    rows = [
        {"name": "published loop", "cpu_seconds_per_sequence": 9.0, "extrapolated": True},
        {"name": "ours", "cpu_seconds_per_sequence": 0.1, "extrapolated": False},
    ]
    path.write_text(json.dumps({"rows": rows, "once": {"seconds": 7.0, "flops": 1.0}}))
    assert read_costs(path) == [Cost("published loop", 0.0, 9.0), Cost("ours", 7.0, 0.1)]


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": []}', '{"rows": [{"name": "a"}]}', "{}"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match="expected .*other.json"):
        read_costs(path)
    result = CliRunner().invoke(main, ["--measured", str(path)])
    assert result.exit_code == 2 and result.stderr.startswith("error: expected ")


def test_all_ways_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.large.command, "GEOMETRY", Geometry(16, 16, 3, glimpse_size=4, per_axis=3))
    monkeypatch.setattr(benchmarks.large.command, "CLASSES", 3)
    costs = measured([2, 40], bank=20)
    assert [cost.name for cost in costs] == list(benchmarks.large.command.WAYS)
    assert all(cost.once > 0 for cost in costs) and costs[1].each > 0


def test_the_table_has_all_tasks_and_estimators(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    row = {"name": "ours", "cpu_seconds_per_sequence": 0.36, "extrapolated": False}
    path.write_text(json.dumps({"rows": [row]}))
    result = CliRunner().invoke(main, ["--measured", str(path), "--price", "0.1", "--cores", "10"])
    assert result.exit_code == 0, result.output
    cells = [[cell.strip() for cell in line.split("|")] for line in result.output.splitlines()]
    rest = ["115 TB", "1.36 TB", "10,000"]
    assert ["", "a billion, 1,000,000,000", "ours", "100,000", "10,000", *rest, ""] in cells
    assert all(task in result.output for task in TASKS) and files_table(TASKS) in result.output
    told = json.loads(CliRunner().invoke(main, ["--measured", str(path), "--json"]).output)
    assert [each["images"] for each in told["bills"]] == list(TASKS.values())
    assert told["bills"][2]["core_hours"] == pytest.approx(1e5)


def test_one_number_of_images_makes_no_line() -> None:
    result = CliRunner().invoke(main, ["--count", "3"])
    assert result.exit_code == 2 and "expected two different numbers of images" in result.stderr
