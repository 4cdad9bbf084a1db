"""One judge for all sources: rows of a tiny task end to end, intervals by closed forms, and the tables."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hardattn_tiny import tiny_dataset

from benchmarks.judging import command as judging
from benchmarks.judging import one_seed as judging_seed
from benchmarks.judging.finite import FiniteFigures, finite_rows
from benchmarks.judging.one_seed import SeedFigures, figures_of_seed, name_of
from benchmarks.judging.plan import ONE, SOURCES, TASKS, WIDTHS, Arm, Task
from benchmarks.judging.rows import mean_over, rows_of
from benchmarks.results.tables.judging import judging_table
from boed.benchmark import benchmark
from boed.benchmark.measure import Measured
from boed.benchmark.result import GROUPS, Reference, Row
from boed.combination import CHOICES
from boed.comparison.settings import JudgeSettings
from boed.settings import FitSettings
from data.errors import SettingsError
from data.registry import DATASETS
from supervision.store import SequenceStore

FIT = {"iterations": 6, "width": 8, "places": 9, "trial_images": 8}
TINY = Task(
    "digits",
    2,
    {ONE: Arm(fit=FIT), WIDTHS: Arm({"sides": (4, 8)}, FIT)},
    judge={"iterations": 3, "width": 8},
    images=6,
)


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SeedFigures]:
    """A seed of a tiny task, and its folder."""
    folder = tmp_path_factory.mktemp("judging")
    return folder, figures_of_seed(TINY, tiny_dataset(), folder, 1)


def test_every_source_is_judged_on_the_same_images(seed: tuple[Path, SeedFigures]) -> None:
    folder, one = seed
    names = [name_of(source, arm) for arm, sources in SOURCES.items() for source in sources]
    assert list(one.names) == names and set(one.truth) == {"design, one width", "design, widths"}
    assert one.values["accuracy"].shape == one.values["nll"].shape == (len(names), 6, 2)
    assert all(len(its["predicted"]) == len(its["realised"]) == 2 for its in one.truth.values())
    assert min(one.seconds) > 0 and len(one.ids) == 6
    stores = [SequenceStore.read(path) for path in sorted(folder.glob("*/*.h5"))]
    assert {store.settings["design"]["seed"] for store in stores} == {1} and len(stores) == len(names)
    assert {store.geometry.sides for store in stores} == {(), (4, 8)}


def test_what_is_done_is_not_done_again(
    seed: tuple[Path, SeedFigures], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = seed

    def never(*_: object, **__: object) -> None:
        raise AssertionError("done already")

    for name in ("judged", "measure_calibration"):
        monkeypatch.setattr(judging_seed, name, never)
    again = figures_of_seed(TINY, tiny_dataset(), folder, 1)
    assert torch.equal(again.values["nll"], found.values["nll"]) and again.truth == found.truth


def test_rows_are_flat_and_tell_their_seed(seed: tuple[Path, SeedFigures]) -> None:
    folder, one = seed
    rows = rows_of("tiny", "label", [one, replace(one, seed=2)])
    assert len({(row["method"], row["seed"]) for row in rows}) == len(rows) == 2 * len(one.names)
    assert json.loads(json.dumps(rows)) == rows and not any(isinstance(v, dict) for v in rows[0].values())
    assert sum(row["seconds"] for row in rows) > 0 and str(folder) not in json.dumps(rows)
    text = judging_table({"rows": rows})
    assert "6 images of tiny, label, 2 seeds" in text and "| design, widths |" in text
    fixed = next(line for line in text.splitlines() if line.startswith("| fixed order, widths"))
    assert fixed.endswith("|  |")  # beside itself
    assert "one seed" in judging_table({"rows": rows_of("tiny", "label", [one])})


def figures(seed: int, *right: float, count: int = 400) -> SeedFigures:
    """The fixed order and a design that are right at these shares of the images."""
    shares = torch.tensor([round(share * count) for share in right])[:, None] > torch.arange(count)
    accuracy = shares.double()[..., None]
    names = ("fixed order, one width", "design, one width")
    ids = torch.arange(count)
    return SeedFigures(seed, names, ids, ids, {"accuracy": accuracy, "nll": 1 - accuracy}, {}, (1.0, 2.0))


def test_intervals_cover_images_and_seeds() -> None:
    def width(*seeds: SeedFigures) -> float:
        row = rows_of("made-up", "label", seeds)[-1]
        assert row["accuracy_low"][0] < row["accuracy_over_seeds"][0] < row["accuracy_high"][0]
        return float(row["accuracy_high"][0] - row["accuracy_low"][0])

    same = [figures(seed, 0.5, 0.7) for seed in range(3)]
    assert width(*same) == pytest.approx(2 * 1.96 * (0.7 * 0.3 / 400) ** 0.5, rel=0.1)
    apart = [figures(seed, 0.5, share) for seed, share in enumerate((0.6, 0.7, 0.8))]
    assert width(*apart) > 1.5 * width(*same)
    last = rows_of("made-up", "label", apart)[-1]
    assert last["accuracy_over_seeds"] == [pytest.approx(0.7)] and last["accuracy"] == [pytest.approx(0.8)]
    assert last["ahead_accuracy_over_seeds"] == pytest.approx(0.2)
    assert last["ahead_nll_over_seeds"] == pytest.approx(-0.2)


def test_seeds_of_other_images_are_refused() -> None:
    with pytest.raises(SettingsError, match="seeds of the same images and sources"):
        rows_of("made-up", "label", [figures(0, 0.5, 0.6), figures(1, 0.5, 0.6, count=300)])


def test_the_mean_over_targets_is_that_of_each_image() -> None:
    (mean,) = mean_over({"a": [figures(0, 0.5, 1.0)], "b": [figures(0, 0.5, 0.0)]})
    assert mean.values["accuracy"][1].unique().tolist() == [0.5] and sum(mean.seconds) == 0


@pytest.mark.parametrize("name", TASKS)
def test_tasks_name_what_there_is(name: str) -> None:
    task = TASKS[name]
    assert set(task.opened) <= set(DATASETS[task.dataset].options) and set(task.arms) == set(SOURCES)
    assert JudgeSettings(**task.judge)
    on_canvas = "canvas_seed" in DATASETS[task.dataset].options and name != "celebahq"
    assert task.opened.get("canvas_seed", 0) == on_canvas  # where nothing was chosen
    for arm in task.arms.values():
        assert FitSettings(glimpses=1, **{k: v for k, v in arm.fit.items() if k not in CHOICES})


def finite(seed: int, share: float, method: str = "a, b, c, d") -> FiniteFigures:
    """Of a combination that closes this share of a gap of 1 nat, on every image."""
    random = torch.rand(20, 3, generator=torch.Generator().manual_seed(seed)).double() + 1
    levels = {"random": random, "exact": random - 1, "own": random - share}
    return FiniteFigures(method, method[0] == "a", seed, dict.fromkeys(GROUPS, levels), 10, 1.0)


def test_shares_of_the_gap_have_intervals_over_seeds() -> None:
    rows = finite_rows([finite(0, 0.9), finite(1, 0.7), finite(0, 0.5, "b"), finite(1, 0.5, "b")])
    assert [row["closed"][0] for row in rows] == pytest.approx([0.9, 0.7, 0.5, 0.5])
    assert rows[0]["closed_over_seeds"] == pytest.approx([0.8] * 3) and rows[0]["closed_low"][0] < 0.75
    assert rows[2]["closed_low"] == pytest.approx([0.5] * 3)  # neither images nor seeds differ
    assert np.shape(rows[0]["closed_seen"]) == (3,)
    text = judging_table({"rows": rows})
    assert (
        "| a, b, c, d (default) | 2 | 20 | 10 | 80 (" in text and "| b | 2 | 20 | 10 | 50 (50, 50) |" in text
    )


def test_parts_of_finite_are_kept_and_the_command_prints_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str, float]] = []
    random = torch.full((4, 2), 3.0).double()

    def made_up(task: benchmark.Task, name: str, seconds: float) -> list[Row]:
        seed = task.settings["seed"]
        asked.append((seed, name, seconds))
        own, settings = random - 1 - seed / 10, {"iterations": 7, "seed": seed}
        measured = dict.fromkeys(GROUPS, Measured(own, own, own, own, own > 0))
        worse = dict.fromkeys(GROUPS, Measured(random, own, own, own, own > 0))
        chosen = [each for each in task.chosen if each.posterior == name]
        return [Row(one, measured, settings, 2.0, worse if one == task.chosen[0] else None) for one in chosen]

    monkeypatch.setattr("benchmarks.judging.finite.rows_of_posterior", made_up)
    monkeypatch.setattr(
        "benchmarks.judging.finite.reference", lambda *_: Reference(random.clone(), random - 2)
    )
    posteriors = ["glimpse-set", "avp-cnn"]
    words = ["finite", "--seeds", "2", "--minutes", "8", "--run", str(tmp_path)]
    words += [word for name in posteriors for word in ("--posterior", name)]
    printed = [CliRunner().invoke(judging.main, [*words, "--json"]) for _ in range(2)]
    assert printed[0].exit_code == 0, printed[0].output
    rows = json.loads(printed[0].stdout)["rows"]
    assert len({(row["method"], row["seed"]) for row in rows}) == len(rows)
    learned = [row for row in rows if not row["method"].startswith("fixed order of ")]
    assert {row["seed"]: row["closed"] for row in learned} == {0: [0.5] * 2, 1: [pytest.approx(0.55)] * 2}
    assert {row["seconds"] for row in learned} == {2.0}
    assert learned[0]["closed_over_seeds"] == pytest.approx([0.525] * 2)
    fixed = [row for row in rows if row not in learned]
    assert [row["seed"] for row in fixed] == [0, 1] and fixed[0]["closed"] == [0, 0] == fixed[1]["closed"]
    assert json.loads(printed[1].stdout)["rows"] == rows and len(asked) == 4
    assert sum(seconds for seed, _, seconds in asked if seed == 0) == pytest.approx(8 * 60)
    refused = CliRunner().invoke(judging.main, [*words, "--completion", "exact"])
    assert refused.exit_code == 2 and "use another --run" in refused.stderr
    assert "(default) | 2 | 4 | 7 |" in CliRunner().invoke(judging.main, words).stdout


@pytest.mark.parametrize("words", [("--seeds", "0"), ("--minutes", "0"), ("--iterations", "0")])
def test_no_seed_and_no_time_are_refused(words: tuple[str, str], tmp_path: Path) -> None:
    refused = CliRunner().invoke(judging.main, ["finite", *words, "--run", str(tmp_path / "run")])
    assert refused.exit_code == 2 and words[0] in refused.output and not (tmp_path / "run").exists()
