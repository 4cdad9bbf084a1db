"""`hardattn reproduce case-study`: published figures, ways of training a row, shared designs, effects."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from reproduce_tiny import row, use_table, write_mnist

import hardattn.experiments.reproduce.trainings
from data.logs import read_log
from data.registry import load
from hardattn.experiments.reproduce.effects import Difference, effects, gaps
from hardattn.experiments.reproduce.outcome import Reproduction, as_text
from hardattn.experiments.reproduce.row import Row
from hardattn.experiments.reproduce.settings import read_table, trainings
from hardattn.experiments.reproduce.trainings import reproduce
from hardattn.training.checkpoint import read_json
from supervision.parts import write_parts
from supervision.store import SequenceStore

TRANSLATED, CLUTTERED = "translated-mnist", "cluttered-mnist"
PUBLISHED = {  # data set, glimpses, size, scales -> accuracy in %, epoch of the best validation accuracy
    (TRANSLATED,): (96.66, 96),
    (TRANSLATED, 6, 8, 2): (79.98, 57),
    (TRANSLATED, 6, 8, 3): (81.22, 96),
    (TRANSLATED, 6, 12, 3): (94.35, 92),
    (TRANSLATED, 8, 12, 3): (92.52, 63),
    (TRANSLATED, 6, 16, 3): (96.87, 69),
    (CLUTTERED,): (93.50, 96),
    (CLUTTERED, 6, 12, 3): (85.65, 72),
    (CLUTTERED, 6, 12, 4): (85.11, 52),
    (CLUTTERED, 8, 12, 3): (86.07, 67),
    (CLUTTERED, 6, 16, 3): (91.26, 95),
    (CLUTTERED, 6, 20, 3): (93.01, 96),
}
TRAINED_ON = 106  # of the made-up digits
OWN = (TRANSLATED, 6, 8, 1)
WAYS = """
dataset = "translated-mnist"
seeds = 1
canvas = 40
glimpse_size = 8
scales = 2

[[ways]]
name = "REINFORCE"
method = "ram"
recipe = { hidden = 8, batch_size = 10, clip = "none", select = "accuracy" }

[[ways]]
name = "design"
method = "ps-nogs"
sequences = "design"
recipe = { hidden = 8 }

[[rows]]
name = "two"
glimpses = 2
published_error_percent = 20.02
published_epoch = 57

[[rows]]
name = "three"
glimpses = 3

[[rows]]
name = "wide"
glimpses = 2
scales = 3

[[rows]]
name = "convolutional"
baseline = "conv-dropout"
share = 0.5
recipe = { hidden = 8 }
"""


def geometry(given: Mapping[str, Any]) -> tuple[Any, ...]:
    keys = ("dataset", "glimpses", "glimpse_size", "scales")
    return tuple(given[key] for key in keys if key in given)


def test_every_published_row_is_there_with_its_figures_in_all_ways() -> None:
    every = trainings(read_table("case-study"), minutes=60, seed=0, seeds=1)
    assert sum(one.minutes for one in every) == pytest.approx(60)
    every = [one for one in every if one.row.get("method") not in ("random", "centre")]
    found: dict[tuple[Any, ...], list[Any]] = {}
    for one in every:
        figures = one.published("error_percent"), one.published("epoch")
        accuracy = None if figures[0] is None else round(100 - figures[0], 2)
        found.setdefault(geometry(one.given), []).append((one.way, accuracy, figures[1]))
    assert set(found) == {*PUBLISHED, OWN}
    ways = [way for way, *_ in found[OWN]]
    assert len(set(ways)) == 3 and [rest for _, *rest in found[OWN]] == [[None, None]] * 3
    for place, figures_there in PUBLISHED.items():
        assert found[place] == [(way, *figures_there) for way in (ways if len(place) > 1 else [""])]
    assert len({one.run_name for one in every}) == len(every) == 35
    methods = {one.way: one.row["method"] for one in every if one.way}
    assert list(methods.values()) == ["ram", "ps-nogs", "nogs-all"]
    assert {one.row["canvas"] for one in every} == {60}


def test_rows_of_the_same_glimpses_share_one_design_of_the_longest() -> None:
    every = trainings(read_table("case-study"), minutes=60, seed=0, seeds=2)
    work = hardattn.experiments.reproduce.trainings.Work(every, None, Path("out"), "cpu", None, None)
    designed = [one for one in every if "sequences" in one.row]
    paths = {work._store_path(one) for one in designed}
    assert len(paths) == 2 * 9  # 9 data sets and sensors, two kinds of sequences
    for one in designed:
        alike = (one.given["dataset"], one.given["glimpse_size"], one.given["scales"])
        both = alike in ((TRANSLATED, 12, 3), (CLUTTERED, 12, 3))
        assert work._longest(one) == (8 if both else 6)


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reproduction:
    """A table of ways on noise, whose designs are made up."""
    use_table(monkeypatch, tmp_path, WAYS)
    asked: list[tuple[str, int]] = []

    def design(path: Path, kind: str, run: Path, shape: Any, glimpses: int, opened: Any, _: str) -> Any:
        if not path.exists():
            asked.append((path.name, glimpses))
            tiny_design(path, opened, shape, glimpses)
        return SequenceStore.read(path)

    monkeypatch.setattr(hardattn.experiments.reproduce.trainings, "designed", design)
    result = reproduce("tiny", write_mnist(tmp_path / "mnist"), tmp_path / "out", minutes=0.007)
    assert asked == [("sequences-design.h5", 3), ("sequences-design-scales-3.h5", 2)]
    return result


def tiny_design(path: Path, opened: Mapping[str, Any], shape: Any, glimpses: int) -> None:
    write_parts(path, load(**opened), "design", glimpses=glimpses, geometry=shape)


def test_a_tiny_table_end_to_end(found: Reproduction) -> None:
    assert [one.way for one in found.rows] == ["REINFORCE", "design"] * 3 + [""]
    ram, _, three, *_ = found.rows
    assert (ram.published_error_percent, ram.published_epoch, three.published_epoch) == (20.02, 57, None)
    settings = read_json(Path(ram.run) / "run.json")["settings"]
    assert settings["recipe"]["clip"] is None and settings["glimpses"] == 2
    for one in found.rows:
        recipe = read_json(Path(one.run) / "run.json")["settings"]["recipe"]
        log = list(read_log(Path(one.run) / "log.jsonl"))
        by_accuracy, by_nll = (lambda line: -line["accuracy"]), (lambda line: line["nll"])
        best = min(log, key=by_accuracy if recipe["select"] == "accuracy" else by_nll)
        assert one.best_iteration == best["iteration"]
        assert one.validation_percent == 100 * (1 - best["accuracy"])
        assert one.best_epoch == one.best_iteration * recipe["batch_size"] / TRAINED_ON
    (glimpses, *_), text = found.effects, as_text(found)
    assert [(one.setting, one.way) for one in found.effects] == [
        *(("glimpses", way) for way in ("REINFORCE", "design")),
        *(("scales", way) for way in ("REINFORCE", "design")),
    ]
    assert glimpses.mean.values == [ram.error_percent - three.error_percent]
    assert "effect of the number of glimpses on REINFORCE" in text and "best epoch" in text
    assert json.loads(json.dumps(found.to_json()))["effects"][0]["setting"] == "glimpses"


def task(size: int, errors: list[float], published: float | None = None, **given: Any) -> list[Row]:
    """Rows of two data sets or settings, one for each error and seed."""
    known = {"dataset": TRANSLATED, "glimpses": 6, "scales": 3, "glimpse_size": size} | given
    return [
        row("w", error / 2, way="w", given=known, seed=seed, published_error_percent=published)
        for seed, error in enumerate(errors)
    ]


def test_an_effect_is_the_mean_difference_with_the_interval_of_its_seeds() -> None:
    rows = task(12, [10, 11, 12], 5.65) + task(16, [9, 9, 9], 3.13)
    (effect,) = effects(rows)
    (change,) = effect.changes
    assert (effect.setting, change.before, change.after) == ("glimpse_size", 12, 16)
    assert change.difference.values == [1, 2, 3] and change.difference.published == pytest.approx(2.52)
    low, high = change.difference.interval or (0, 0)
    assert (low + high) / 2 == pytest.approx(2) and high - 2 == pytest.approx(4.302653 / 3**0.5, abs=1e-5)
    assert Difference([1.0], None).interval is None


def test_only_rows_that_differ_in_one_setting_are_compared_step_by_step() -> None:
    rows = (
        task(8, [20], glimpses=8) + task(12, [10]) + task(16, [6]) + task(20, [5]) + task(12, [7], glimpses=8)
    )
    found = {effect.setting: effect for effect in effects(rows)}
    steps = [(its.before, its.after, its.difference.values) for its in found["glimpse_size"].changes]
    assert steps == [(8, 12, [13]), (12, 16, [4]), (16, 20, [1])] and set(found) == {
        "glimpses",
        "glimpse_size",
    }
    assert found["glimpse_size"].mean.values == [6] and found["glimpses"].mean.values == [3]


def test_the_gap_between_data_sets_is_said_to_narrow_only_where_it_does() -> None:
    easy = task(12, [5, 6], 5.65) + task(16, [3, 4], 3.13)
    hard = task(12, [14, 15], 14.35, dataset=CLUTTERED)
    narrows = gaps([*easy, *hard, *task(16, [8, 9.1], 8.74, dataset=CLUTTERED)])
    (gap,) = narrows
    assert gap.small.values == [9, 9] and gap.large.values == pytest.approx([5, 5.1])
    assert gap.narrowed.published == pytest.approx(8.70 - 5.61) and gap.narrows is True
    (unclear,) = gaps([*easy, *hard, *task(16, [3, 19], dataset=CLUTTERED)])
    assert unclear.narrows is None and unclear.narrowed.published is None
    (wider,) = gaps([*easy, *hard, *task(16, [30, 31.1], dataset=CLUTTERED)])
    assert wider.narrows is False and "does not narrow" in str(wider)
