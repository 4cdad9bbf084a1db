"""The yardstick: figures in closed form, groups that are what they are called, and a budget that holds."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import boed.benchmark.benchmark as benchmark
import boed.benchmark.budget as budget
from boed.benchmark.benchmark import combinations, run_benchmark
from boed.benchmark.budget import COSTS, FILE, kept_budget, shared_out
from boed.benchmark.figures import mean_figures, share_closed
from boed.benchmark.measure import FIRST_BLOCK, _blocks
from boed.benchmark.result import GROUPS, Benchmark
from boed.cli.benchmark import table
from boed.combination import CHOICES, Combination
from boed.fitting.posterior_fit import ROUNDS
from boed.settings import FittedSettings
from data.files import write_json
from data.finite import load_finite, template_of

LEARNED = [Combination(score=score) for score in ("cross-entropy", "entropy")]


def test_the_error_of_a_mean_is_that_of_independent_images() -> None:
    values = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1.0, 2.0, 0.0]
    )
    figures = mean_figures(values)
    assert figures.error == pytest.approx([1 / 20_000**0.5, 2 / 20_000**0.5, 0.0], rel=0.05)
    assert figures.value == pytest.approx(values.double().mean(0).tolist())


def test_the_error_of_a_share_is_what_repetitions_say() -> None:
    """Own design costs more where random does: pairing is what makes the error small."""
    generator = torch.Generator().manual_seed(0)
    random = 2 + torch.randn(400, 50, 1, generator=generator)
    exact, own = 0.5 * random, 0.6 * random + 0.1 * torch.randn(400, 50, 1, generator=generator)
    shares = [share_closed(*of_one) for of_one in zip(random, exact, own, strict=True)]
    spread = torch.tensor([share.value[0] for share in shares]).std().item()
    assert sum(share.error[0] for share in shares) / len(shares) == pytest.approx(spread, rel=0.1)
    assert sum(share.value[0] for share in shares) / len(shares) == pytest.approx(0.8, abs=0.01)


def test_random_closes_nothing_and_exact_all_of_the_gap() -> None:
    random, exact = torch.rand(9, 2) + 2, torch.rand(9, 2)
    assert share_closed(random, exact, random).value == [0, 0]
    assert share_closed(random, exact, exact).value == [1, 1]


def test_without_a_limit_there_is_one_block_and_with_one_they_grow_until_it() -> None:
    assert [rows.tolist() for rows in _blocks(5, None)] == [[0, 1, 2, 3, 4]]
    sizes = [len(rows) for rows in _blocks(11, time.monotonic() + 3600)]
    assert sizes == [2, 2, 4, 3]
    assert torch.cat(list(_blocks(11, time.monotonic() + 3600))).tolist() == list(range(11))
    assert [len(rows) for rows in _blocks(11, time.monotonic() - 1)] == [FIRST_BLOCK]  # too late: a few yet


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_all_posteriors_are_shared_out_once_and_no_process_has_too_much(processes: int) -> None:
    parts = shared_out(list(CHOICES["posterior"]), processes, 60.0)
    assert len(parts) == min(processes, len(CHOICES["posterior"]))
    assert sorted(name for part in parts for name in part) == sorted(CHOICES["posterior"])
    assert [sum(part.values()) for part in parts] == pytest.approx([60.0] * len(parts))


def test_the_cost_of_every_training_is_known() -> None:
    learned = {its.completion for its in combinations()} - {"retrieval", "exact"}
    assert learned <= set(COSTS)


def test_a_budget_follows_from_what_was_timed_and_is_kept_for_an_interrupted_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "_timed_training", lambda *_: (None, 0.01))
    monkeypatch.setattr(budget, "_seconds_of_map", lambda _: 0.02)
    rows = [Combination(), Combination(completion="cvae", score="entropy")]
    settings = FittedSettings(glimpses=5, iterations=10_000, dataset="finite")
    small, large = (
        kept_budget(load_finite(), tmp_path / str(n), rows, settings, n) for n in (100.0, 10_000.0)
    )
    cost = COSTS["posterior"] + COSTS["cvae"]
    assert small.iterations == int(budget.LEARNING * 100 / (cost * 0.01)) and large.iterations == 10_000
    assert large.trial_images == pytest.approx(budget.TRYING * 10_000 / ((ROUNDS + 3) * 5 * 0.02), abs=1)
    assert small.trial_images == int(budget.TRYING * 100 / ((ROUNDS + 3) * 5 * 0.02))
    least = kept_budget(load_finite(), tmp_path / "least", rows, settings, 1e-9)
    assert (least.iterations, least.trial_images) == (1, budget.FEWEST_IMAGES)
    assert kept_budget(load_finite(), tmp_path / "100.0", rows, settings, 10_000.0) == small


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Of a fit that has learned next to nothing, in more time than there is."""
    run = tmp_path_factory.mktemp("benchmark")
    small = {"iterations": 12, "trial_images": 2, "glimpses": 2, "width": 8}
    return run_benchmark(load_finite(), run, LEARNED, images=6, completions=20, minutes=60, **small)


def test_a_row_is_measured_on_both_groups_alike(result: Benchmark) -> None:
    """Images are alike before their first glimpse, so that nothing varies there; no place beats the best."""
    assert [row.combination for row in result.rows] == LEARNED
    for row in result.rows:
        first = torch.cat([row.measured[group].epe[:, 0] for group in GROUPS])
        assert first.std() < 1e-9
        assert all((row.measured[group].regret >= -1e-9).all() for group in GROUPS)
        assert not torch.equal(*(row.measured[group].epe for group in GROUPS))


def test_the_json_has_groups_with_figures_and_their_errors(result: Benchmark) -> None:
    figures = json.loads(json.dumps(result.to_json(), allow_nan=False))
    row = figures["rows"][0]
    for group in GROUPS:
        assert row[group]["images"] == figures[group]["images"] == 6
        assert set(row[group]["closed"]) == set(row[group]["closed_error"]) == {"1", "2"}
        levels = {name: figures[group][name]["epe"]["1"] for name in ("random", "fixed", "exact")}
        assert levels["exact"] < levels["random"] and levels["exact"] <= levels["fixed"] + 1e-9
        closed = (levels["random"] - row[group]["epe"]["1"]) / (levels["random"] - levels["exact"])
        assert row[group]["closed"]["1"] == pytest.approx(closed)
    assert row["settings"]["iterations"] == 12 and row["settings"]["trial_images"] == 2


def test_the_table_has_both_groups_and_every_row_its_images(result: Benchmark) -> None:
    unseen, seen = table(result).split("Training images that come again:")
    for part in (unseen, seen):
        rows = [line for line in part.splitlines() if line.startswith("| glimpse-set, retrieval")]
        assert len(rows) == 2 and all("±" in row and row.endswith("| 6 |") for row in rows)


def test_an_avp_cnn_is_small_with_and_without_a_limit_and_what_was_asked_for_wins(tmp_path: Path) -> None:
    rows = [Combination("avp-cnn")]
    write_json(tmp_path / FILE, {"iterations": 7, "trial_images": 9})  # as if it had been measured
    plain = benchmark.Task(load_finite(), tmp_path, rows, 2, 1, "cpu", {})
    asked = replace(plain, settings={"iterations": 5, "resolution": 8})
    found = [
        benchmark._settings(task, tmp_path, rows, limit) for task in (plain, asked) for limit in (None, 60.0)
    ]
    assert [its["resolution"] for its in found] == [16, 16, 8, 8]
    assert [its["iterations"] for its in found] == [10_000, 7, 5, 5]
    assert [its.get("trial_images") for its in found] == [None, 9, None, 9]


def test_seen_images_are_training_images_and_the_others_are_of_no_template_of_them() -> None:
    finite = load_finite()
    task = benchmark.Task(finite, Path(), [], 50, 1, "cpu", {})
    groups, train = task.groups(), template_of(finite["train"].ids)
    assert torch.isin(template_of(groups["seen"].ids), train).all()
    assert not torch.isin(template_of(groups["unseen"].ids), train).any()
    assert [len(split) for split in groups.values()] == [50, 50]
    assert groups["seen"].fingerprint != finite["train"].fingerprint  # so nothing is left out of the bank
