"""What designed widths are worth: intervals by closed forms, the plan's commands, and tiny networks."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hardattn_tiny import tiny_dataset, tiny_store

from benchmarks.intervals import drawn_seeds, over_seeds
from benchmarks.widths import command as widths
from benchmarks.widths import figures as width_figures
from benchmarks.widths.figures import (
    MEAN,
    Comparison,
    Designed,
    Seen,
    accuracies,
    differences,
    report,
    verdict,
)
from benchmarks.widths.plan import ONE, RETINA, SEVERAL, Arm, Plan
from data.errors import SettingsError
from data.measures import Measure
from hardattn.runs import train
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe

FIRST, SECOND = Arm.all("4,8", retina=False)


def plan(run: Path, *attributes: str, seeds: int = 2) -> Plan:
    data, sensor = ("--dataset", "d"), ("--glimpses", "3")
    fit, budget, device = ("--iterations", "9"), ("--epochs", "2"), ("--device", "cpu")
    return Plan(run, data, attributes, sensor, fit, "50", 7, "product", seeds, budget, device)


def seen(*shares: float, count: int = 400, shift: int = 0) -> Seen:
    """Right at these shares of the images after each glimpse."""
    number = (torch.arange(count) + shift) % count
    right = torch.stack([number < share * count for share in shares], 1)
    read = {name: torch.ones(len(shares)) for name in ("values_read", "pixels_read")}
    return Seen(torch.arange(count), right, read)


def width_of(measure: Measure) -> float:
    low, high = measure.interval()
    return float((high - low)[0])


def test_drawn_seeds_vary_as_the_mean_of_few_independent_seeds_does() -> None:
    """By Student's distribution: as s / sqrt(3), times 4.303 / 1.960."""
    values = np.array([0.0, 1.0, 5.0])
    shares = drawn_seeds(3, seed=0, resamples=20_000)
    none = Measure(values[:, None], np.broadcast_to(values[None, :, None], (20_000, 3, 1)))
    mean = over_seeds(none, shares)
    assert mean.value == pytest.approx([2.0])
    assert mean.samples.var() == pytest.approx((4.303 / 1.960) ** 2 * values.var(ddof=1) / 3, rel=0.05)
    assert drawn_seeds(1, seed=0, resamples=5).tolist() == [[1.0]] * 5


@pytest.mark.parametrize("deviation", [0.02, 0.1])
def test_intervals_over_three_seeds_cover_what_they_say(deviation: float) -> None:
    """Accuracies of normal seeds on 400 images; 95 % but for the noise of 200 repetitions."""
    random, covered = np.random.default_rng(0), 0
    for number in range(200):
        right = random.random((3, 400)) < 0.7 + deviation * random.standard_normal((3, 1))
        drawn = random.integers(0, 400, (200, 400))
        each = Measure(right.mean(1)[:, None], right[:, drawn].mean(2).T[:, :, None])
        low, high = over_seeds(each, drawn_seeds(3, seed=number, resamples=200)).interval()
        covered += low[0] <= 0.7 <= high[0]
    assert covered >= 0.9 * 200


def test_intervals_of_one_seed_are_those_of_images() -> None:
    alone = accuracies({"a": [seen(0.7)]})["a"]
    assert width_of(alone) == pytest.approx(2 * 1.96 * (0.7 * 0.3 / 400) ** 0.5, rel=0.1)


def test_targets_share_images_so_that_more_of_the_same_are_not_surer() -> None:
    one, two = accuracies({"a": [seen(0.7)]}), accuracies({"a": [seen(0.7)], "b": [seen(0.7)]})
    np.testing.assert_allclose(one["a"].samples, two[MEAN].samples)
    assert list(two) == [MEAN, "a", "b"] and list(one) == ["a"]


def test_differences_are_paired_over_images_and_seeds() -> None:
    """Two sensors that are right at the same images but for a few, whatever the seed."""
    less = accuracies({"a": [seen(0.60), seen(0.80)]})
    more = accuracies({"a": [seen(0.62), seen(0.82)]})
    ahead = differences({ONE: less, SEVERAL: more})[ONE]["a"]
    assert ahead.value == pytest.approx([0.02])
    assert width_of(ahead) < 0.035 < 0.2 < width_of(more["a"])
    assert ahead.interval()[0][0] > 0


def test_seeds_that_differ_make_intervals_wider() -> None:
    same = accuracies({"a": [seen(0.7), seen(0.7, shift=9)]})["a"]
    apart = accuracies({"a": [seen(0.6), seen(0.8)]})["a"]
    assert same.value == pytest.approx(apart.value)
    assert width_of(apart) > 2 * width_of(same)


def test_networks_of_other_images_are_refused() -> None:
    with pytest.raises(SettingsError, match="expected runs on the same test images"):
        accuracies({"a": [seen(0.7)], "b": [seen(0.7, count=300)]})


def test_the_verdict_asks_for_two_points_and_for_more_than_noise() -> None:
    value = np.array([0.03, 0.019, 0.02, 0.01])
    samples = np.stack([value - 0.015, value + 0.015])
    said = verdict(Measure(value, samples))
    assert said == (
        "ahead by at least 2 points after 1, 3 of 1, 2, 3 glimpses; its interval is above 0 after 1, 2, 3"
    )


def test_designed_sides_are_counted_by_step() -> None:
    places = torch.tensor([[[0, 0, 8], [1, 1, 4]], [[2, 0, 8], [0, 0, 8]], [[2, 0, 8], [0, 0, 8]]])
    found = Designed.of(places, [0.0, 0.5])
    assert found.sides == [{8: 1.0}, {4: 1 / 3, 8: 2 / 3}]
    assert found.words() == ["8", "4 33 %, 8 67 %"]


def test_attributes_are_fitted_together_and_pairs_are_trained_one_after_the_other() -> None:
    jobs = {job.name: job for job in plan(Path("r"), "A", "B").jobs([FIRST, SECOND])}
    done = set[str]()
    for job in jobs.values():
        assert done.issuperset(job.needs), job
        assert job.arguments[:1] == ["-m"] and "--device" in job.arguments
        done.add(job.name)
    assert [name for name in jobs if name.endswith("fit")] == ["one-width/fit", "widths/fit"]
    fit, design = (" ".join(jobs[f"widths/{name}"].arguments) for name in ("fit", "designs-B"))
    assert "--attribute A,B --run r/widths --device cpu --glimpses 3 --sides 4,8 --iterations 9" in fit
    assert "--attribute B --run r/widths/B" in design and "--sides 4,8 --split train --images 50" in design
    assert "--sides" not in " ".join(jobs["one-width/fit"].arguments)
    networks = [name for name in jobs if "product-7" in name]
    assert networks[:3] == ["one-width/product-7-A-0", "widths/product-7-A-0", "one-width/product-7-B-0"]
    assert len(networks) == 8 and networks[-1].endswith("B-1")


def test_both_arms_train_the_same_network() -> None:
    jobs = plan(Path("r"), "A").jobs([FIRST, SECOND])
    one, other = (" ".join(job.arguments) for job in jobs if job.name.endswith("product-7-A-0"))
    assert one == other.replace("r/widths", "r/one-width")
    assert "--method nogs-all --policy product --supervise r/one-width/A/sequences-train.h5" in one


def test_one_attribute_is_fitted_where_its_designs_are_made() -> None:
    for attributes, folder in ((("A",), "r/widths/A"), ((), "r/widths")):
        commands = [" ".join(job.arguments) for job in plan(Path("r"), *attributes).jobs([SECOND])]
        assert all(f"--run {folder} " in command for command in commands)
        assert ("--attribute" in commands[0]) == bool(attributes)


def test_a_retina_is_a_third_arm_of_one_width() -> None:
    assert [arm.name for arm in Arm.all("all", retina=True)] == [ONE, SEVERAL, RETINA]
    assert Arm.all("all", retina=True)[2].sensor == ("--scales", "3")


@pytest.mark.parametrize("iterations", [1, 40, 3000])
@pytest.mark.parametrize("images", [50, 1280, 8334])
def test_the_budget_makes_so_many_iterations(iterations: int, images: int) -> None:
    _, epochs, _, batch = widths.budget_of(iterations, images)
    assert Budget(epochs=float(epochs)).total(images, int(batch)) == iterations


def prepared(run: Path, seeds: int) -> None:
    """What the jobs would have made of a tiny data set: designs, and networks that both arms share."""
    made = plan(run, seeds=seeds)
    recipe = Recipe(batch_size=16, hidden=16)
    for arm in (FIRST, SECOND):
        made.task(arm, None).mkdir(parents=True)
        tiny_store(made.store(arm, None), tiny_dataset(), {"weights": [0, 0, 0.5]})
        for seed in range(seeds):
            folder, budget = made.network(arm, None, seed), Budget(epochs=1)
            train(tiny_dataset(), folder, recipe=recipe, budget=budget, seed=seed, device="cpu")


def test_finished_networks_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = tmp_path / "run", list[Any]()
    prepared(run, seeds=2)
    monkeypatch.setattr("hardattn.loading.reopen", lambda *_: tiny_dataset())
    monkeypatch.setattr(widths, "load", lambda *_, **__: tiny_dataset())
    monkeypatch.setattr(widths, "run_all", lambda jobs, notes, **_: asked.extend(jobs))
    options = ["--dataset", "digits", "--run", str(run), "--seeds", "2", "--iterations", "7"]
    done = CliRunner().invoke(widths.main, [*options, "--json", str(tmp_path / "out.json")])
    assert done.exit_code == 0, done.output
    assert [job.name for job in asked] == [
        *("one-width/fit", "widths/fit", "one-width/designs", "widths/designs"),
        *(f"{arm}/product-7-{seed}" for seed in (0, 1) for arm in ("one-width", "widths")),
    ]
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["ahead of"][ONE]["label"]["ahead"] == [0, 0, 0]  # the same networks
    assert found["ahead of"][ONE]["label"]["low"] == [0, 0, 0]
    assert found["designs"][SEVERAL]["label"]["weights"] == [0, 0, 0.5]
    each = found["accuracy"][ONE]["label"]
    np.testing.assert_allclose(np.mean(each["seeds"], 0), each["accuracy"])
    values = found["read"][ONE]["values_read"]
    assert len(values) == 3 and {b - a for a, b in pairwise(values)} == {values[0]}
    for said in ("widths - one width", "weights of own maps", "values, binning sensor", "0, 0, 0.5"):
        assert said in done.stdout


def test_a_rival_retina_has_columns_of_its_own() -> None:
    networks = {arm: {"a": [seen(share)]} for arm, share in ((ONE, 0.5), (SEVERAL, 0.7), (RETINA, 0.6))}
    design = {"a": Designed.of(torch.tensor([[[0, 0, 4]]]), [0.0])}
    text = report(Comparison(networks, dict.fromkeys(networks, design)))
    head = text.splitlines()[0]
    assert "widths - one width" in head and "widths - retina" in head
    assert "| 10.0 (" in text.splitlines()[2] and width_figures.GOAL == 0.02


def test_missing_data_are_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(widths.main, ["--run", str(tmp_path)])
    [line] = done.stderr.splitlines()
    assert done.exit_code == 1 and line.startswith("error: expected"), line
