"""What fits and designs with them cost: what is timed, by which clock, and the table of it."""

import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import GEOMETRY, both, pointer_dataset
from cli_tiny import assert_refused
from click.testing import CliRunner

import benchmarks.fit_cost
from benchmarks.cost_report import DESIGN, FIT, ONCE, Loop, Report, Row, Timed, fits_table
from benchmarks.design_cost import main
from benchmarks.fit_cost import CASES, DESIGN_GOAL, open_cases, time_case, timed
from boed.fitting.fit import fit
from boed.fitting.joint_fit import fit_jointly
from data.celebahq import EVERY
from data.dataset import DataSet
from data.errors import SettingsError
from data.stages import REST

CPU = torch.device("cpu")
DESIGN_STAGES = {"bank", "own maps", "average maps", "distances", "glimpses and statistics"}
FIT_STAGES = {
    "codebook",
    "first designs",
    "training of q",
    "calibration of q",
    "weights of own maps",
    "levels",
}
FIT_STAGES |= {"table"}
WORKS = [FIT, ONCE, f"{DESIGN}, own maps", DESIGN]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits that take no time."""
    tiny: dict[str, Any] = {"iterations": 12, "width": 8, "places": 9, "trial_images": 20}
    monkeypatch.setattr(benchmarks.fit_cost, "fit", partial(fit, **tiny))
    monkeypatch.setattr(benchmarks.fit_cost, "fit_jointly", partial(fit_jointly, **tiny))
    for name in ("attribute-widths", "all-widths"):
        monkeypatch.setitem(CASES, name, replace(CASES[name], sides=(4, 8, 12)))


@pytest.mark.usefixtures("small")
def test_a_fit_and_its_designs_are_timed_by_stage() -> None:
    rows = list(time_case("digits", pointer_dataset(train=100), "", 4, CPU))
    assert [row.work for row in rows] == WORKS and {row.name for row in rows} == {"digits"}
    assert [row.goal for row in rows] == [60, None, DESIGN_GOAL, DESIGN_GOAL]
    assert all(row.cpu_seconds > 0 and row.wall_seconds > 0 for row in rows)
    assert all(sum(row.stages.values()) == pytest.approx(1) for row in rows)
    assert set(rows[0].stages) == {REST, *DESIGN_STAGES, *FIT_STAGES}
    assert {"own maps", "average maps"} <= set(rows[2].stages) <= {REST, *DESIGN_STAGES}


@pytest.mark.usefixtures("small")
def test_all_attributes_are_fitted_with_widths_and_one_is_designed(monkeypatch: pytest.MonkeyPatch) -> None:
    designed, used = [], benchmarks.fit_cost.time_use

    def noted(learned: Any, *rest: Any) -> Any:
        designed.append((learned.settings.target, learned.geometry))
        return used(learned, *rest)

    monkeypatch.setattr(benchmarks.fit_cost, "time_use", noted)
    rows = list(time_case("all-widths", both(), "fine", 2, CPU))
    assert [row.work for row in rows] == WORKS and rows[0].goal == 900
    assert designed == [("fine", replace(GEOMETRY, sides=(4, 8, 12)))]


def test_cpu_time_is_shared_out_and_wall_time_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"cpu": 0.0, "wall": 0.0}
    monkeypatch.setattr(time, "process_time", lambda: now["cpu"])
    monkeypatch.setattr(time, "perf_counter", lambda: now["wall"])

    def work() -> str:
        now["cpu"], now["wall"] = now["cpu"] + 6, now["wall"] + 10
        return "done"

    found, row = timed(work)
    assert found == "done"
    assert row == Timed("", "", 6.0, 10.0, None, {REST: 1.0})
    assert row.each(4) == Timed("", "", 1.5, 2.5, None, {REST: 1.0})


def test_the_goals_are_compared_with_cpu_seconds() -> None:
    rows = [
        Timed("digits", FIT, 50.0, 100.0, 60, {"training of q": 0.7, "codebook": 0.3}),
        Timed("digits", ONCE, 1.0, 2.0, None, {REST: 1.0}),
        Timed("digits", DESIGN, 0.031, 0.02, 0.03, {"own maps": 1.0}),
    ]
    lines = fits_table(rows, 400.0).splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[0] == ["digits", FIT, "50", "100", "60, met", "8", "training of q 70 %, codebook 30 %"]
    assert [line[4] for line in cells] == ["60, met", "", "0.03, missed"]
    assert cells[2][5] == "1.29e+04"
    loop = Row("published loop", 800.0, 400.0, 1e16, True, {"network": 1.0})
    text = Report("a machine", 1, "2.4", 20, Loop(), None, [loop], rows).text()
    assert fits_table(rows, 400.0) in text and "mean of 20 images" in text
    assert "fit of" not in Report("a machine", 1, "2.4", 20, Loop(), None, [loop]).text()


def opened(name: str, root: Path | None = None, attribute: str | None = None) -> DataSet:
    """What `data.load` gives, of a data set with two attributes."""
    asked = (attribute or "").split(",")
    if asked == [EVERY] or len(asked) > 1:
        return both()
    return pointer_dataset(name, asked[0] or "label")


def test_faces_have_one_attribute_or_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.fit_cost, "load", opened)
    found = open_cases(list(CASES), None, "fine")
    assert {name: one.target for name, one in found.items()} == {
        "digits": "label",
        "attribute": "fine",
        "attribute-widths": "fine",
        "all-widths": "coarse,fine",
    }
    for name, wrong in (("attribute", "coarse,fine"), ("attribute", EVERY), ("all-widths", "coarse,fine")):
        with pytest.raises(SettingsError, match="expected one attribute"):
            open_cases([name], None, wrong)


@pytest.mark.usefixtures("small")
def test_the_command_line_makes_the_fits_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.fit_cost, "load", opened)
    loop = ["--passes", "1", "--batch", "1"]
    result = CliRunner().invoke(main, ["--only", "digits", "--images", "3", "--json", *loop])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [(row["name"], row["work"]) for row in found["fits"]] == [("digits", work) for work in WORKS]
    assert [row["name"] for row in found["rows"]] == ["published loop"]
    assert f"digits, {DESIGN}: " in result.stderr


def test_faces_that_are_not_there_are_refused_before_any_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(benchmarks.fit_cost, "fit")
    assert_refused(CliRunner().invoke(main, ["--fits"]), "--data-root")
