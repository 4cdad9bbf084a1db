"""The choice among rows by validation, and what the rows of a method come to."""

import json
from pathlib import Path
from typing import Any

import pytest
from reproduce_tiny import row

from data.coverage import CoverageRow
from hardattn.experiments.reproduce.known import best_known
from hardattn.experiments.reproduce.outcome import Published, Reproduction, as_text
from hardattn.experiments.reproduce.settings import Training, read_table, table_names, trainings


def test_the_row_is_chosen_on_validation_among_those_that_learn_where_to_look() -> None:
    rows = [row("a", 3.0), row("b", 2.0), row("random", 0.5, chooses=False), row("cnn", 1.0, chooses=False)]
    found = Reproduction("made-up", rows, 2.5, 1.0)
    assert [choice.method for choice in found.choices] == ["b"]
    assert found.to_json()["error_percent"] == 4.0 and found.published_error_percent == 2.5
    assert "chosen on validation: b, 4.00 % error" in as_text(found)


def test_where_none_learns_where_to_look_the_best_of_all_is_chosen() -> None:
    rows = [row("random", 5.0, chooses=False), row("cnn", 1.0, chooses=False)]
    assert [choice.method for choice in Reproduction("made-up", rows, None, 1.0).choices] == ["cnn"]


def test_each_task_has_its_choice_and_seeds_are_averaged_before_it() -> None:
    rows = [
        row("a", 1.0, task="x", seed=0),
        row("a", 5.0, task="x", seed=1),
        row("b", 2.0, task="x", seed=0, published_error_percent=7.0),
        row("b", 2.0, task="x", seed=1, published_error_percent=9.0),
        row("a", 4.0, task="y", published_error_percent=6.0),
    ]
    found = Reproduction("made-up", rows, None, 1.0)
    assert [(one.task, one.method, one.error_percent) for one in found.choices] == [
        ("x", "b", 4.0),
        ("y", "a", 8.0),
    ]
    assert found.error_percent == 6.0 and found.published_error_percent == (7.0 + 6.0) / 2


def test_the_task_stands_beside_a_method_that_has_several() -> None:
    one, two = row("a", 1.0, task="x"), row("b", 2.0, task="y")
    assert "(x)" not in as_text(Reproduction("made-up", [one, two], None, 1.0))
    assert "a (y)" in as_text(Reproduction("made-up", [one, row("a", 2.0, task="y")], None, 1.0))


def test_without_a_figure_for_every_task_none_is_published_for_the_table() -> None:
    rows = [row("a", 1.0, task="x", published_error_percent=3.0), row("a", 1.0, task="y")]
    assert Reproduction("made-up", rows, None, 1.0).published_error_percent is None


def test_figures_beside_no_row_are_told_below_the_rows_and_choose_nothing() -> None:
    others = [Published("best", 0.94), Published("mean", 13.0, 4750)]
    found = Reproduction("made-up", [row("a", 1.0)], 2.5, 1.0, published=others)
    lines = as_text(found).splitlines()
    assert lines[3:5] == ["published: best 0.94 %", "published: mean 13 % after 4,750 iterations"]
    assert lines[2].endswith("  a") and found.published_error_percent == 2.5
    assert found.to_json()["published"][1] == {"name": "mean", "error_percent": 13.0, "iterations": 4750}


def test_the_best_figure_known_stands_beside_every_row_and_what_it_was_told() -> None:
    known: dict[str, Any] = {"best_known_percent": 0.94, "best_known": "somebody"}
    rows = [
        row("parts", 1.0, told="boxes", **known),
        row("designs", 2.0, published_error_percent=1.2, **known),
    ]
    found = Reproduction("made-up", rows, None, 1.0)
    lines = as_text(found).splitlines()
    at = lines[1].index("best known")
    assert [line[at : at + 10].strip() for line in lines[2:4]] == ["0.94", "0.94"]
    assert lines[2].endswith(" boxes  parts") and "boxes" not in lines[3]
    assert "best known: somebody 0.94 %" in lines and lines.count("best known: somebody 0.94 %") == 1
    assert any(line.startswith("told: ") for line in lines)
    assert found.choices[0].method == "designs"  # published rows were not told either
    assert lines[-1] == "chosen on validation: designs, 4.00 % error, published 1.20, best known 0.94"
    alone = Reproduction("made-up", rows[:1], None, 1.0)
    assert as_text(alone).endswith("parts, 2.00 % error, best known 0.94, told boxes")
    written = found.to_json()
    assert [one["told"] for one in written["rows"]] == ["boxes", ""]
    assert written["methods"][0]["told"] == "boxes" and written["choices"][0]["best_known_percent"] == 0.94


def tables() -> list[tuple[str, Training]]:
    return [
        (name, one)
        for name in table_names()
        for one in trainings(read_table(name), minutes=1.0, seed=0, seeds=1)
    ]


def test_no_row_of_any_table_is_behind_a_figure_that_is_known() -> None:
    """What stands beside a row of the same images is never less than the best that is known of them."""
    for name, one in tables():
        best, own = best_known(one.row).error_percent, one.published("error_percent")
        if best is not None and own is not None and "published_on" not in one.row:
            assert best <= own, (name, one.name)
        if name in ("mnist-28", "translated-60", "cluttered-60", "cluttered-100"):
            assert best is not None


def test_rows_that_imitate_parts_or_are_rewarded_by_boxes_were_told_boxes() -> None:
    told = {(name, one.name) for name, one in tables() if one.told}
    assert ("cluttered-100", "parts of the digit, all images") in told and ("rewards", "and box") in told
    assert ("rewards", "and information") not in told and ("mnist-28", "one fixed order") not in told
    untold = {
        name for name, one in tables() if one.row["name"].startswith("designs with widths") and not one.told
    }
    assert untold == {"translated-60", "cluttered-60", "cluttered-100"}


def test_tables_of_digits_on_canvases_are_tested_where_nothing_was_chosen() -> None:
    canvases = ("translated-60", "translated-100", "cluttered-60", "cluttered-100")
    assert {one.row.get("canvas_seed") for name, one in tables() if name in canvases} == {1}


def test_a_method_is_compared_where_a_figure_is_published() -> None:
    rows = [row("a", 1.0, task="x", published_error_percent=3.0), row("a", 4.0, task="y")]
    (summary,) = Reproduction("made-up", rows, None, 1.0).summaries
    assert (summary.error_percent, summary.error_percents) == (5.0, [2.0, 8.0])
    assert (summary.published_error_percent, summary.error_percent_beside) == (3.0, 2.0)
    assert summary.times_sooner is None and summary.reached is None


def run(folder: Path, *nll: float) -> dict[str, Any]:
    """A run folder with this learning curve, 1 second for 100 iterations."""
    folder.mkdir()
    lines = [{"iteration": 100 * n, "seconds": float(n), "nll": value} for n, value in enumerate(nll)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"run": str(folder)}


def test_convergence_is_compared_with_the_reference_of_the_same_task_and_seed(tmp_path: Path) -> None:
    never = run(tmp_path / "never", 0.7, *[0.69] * 12)
    late = run(tmp_path / "late", *[0.7] * 8, 0.2)
    rows = [
        row("nogs", 1.0, task="x", made_in=1.0, **run(tmp_path / "one", 0.7, 0.3, 0.3)),
        row("nogs", 1.0, task="y", made_in=2.0, **run(tmp_path / "two", 0.7, 0.6, 0.3)),
        row("ram", 5.0, task="x", **late),
        row("ram", 5.0, task="y", **never),
    ]
    found = Reproduction("made-up", rows, None, 1.0, reference="ram")
    nogs, ram = found.summaries
    assert (nogs.times_sooner, nogs.least_times_sooner, nogs.reached) == (7.0, 6.0, 1)
    assert nogs.seconds_times_sooner == pytest.approx((8 / 2 + 12 / 4) / 2)
    assert ram.times_sooner is None
    assert "7.0 times sooner than the reference (at least 6.0), which got there in 1 of 2" in as_text(found)


def test_a_figure_of_other_images_is_marked_and_chooses_nothing() -> None:
    rows = [row("a", 1.0, published_error_percent=3.0, published_on="ImageNet-100"), row("b", 2.0)]
    found = Reproduction("made-up", rows, None, 1.0)
    lines = as_text(found).splitlines()
    assert "3.00*" in lines[2] and "* published on ImageNet-100, other images" in lines
    assert found.published_error_percent is None and lines[-1] == "chosen on validation: a, 2.00 % error"
    assert str(found.summaries[0]).count("2.00 where published 3.00 on ImageNet-100") == 1


def test_what_glimpses_hold_is_the_mean_of_the_seeds() -> None:
    held = [[CoverageRow(1, 9, share, 0.1, 0.2, 0.3, 16.0)] for share in (0.2, 0.4)]
    rows = [row("a", 1.0, seed=seed, coverage=held[seed]) for seed in (0, 1)] + [row("b", 2.0)]
    found = Reproduction("made-up", rows, None, 1.0)
    assert found.summaries[0].coverage == [CoverageRow(1, 9, pytest.approx(0.3), 0.1, 0.2, 0.3, 16.0)]
    assert found.summaries[1].coverage == []
    line = next(line for line in as_text(found).splitlines() if line.startswith("      1"))
    assert line.split() == ["1", "30.0", "(10.0)", "20.0", "30.0", "16.0", "a"]
