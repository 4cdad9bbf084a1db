"""The pooled comparison of stopping rules: by hand, and on a tiny run."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hardattn_tiny import tiny_dataset

from benchmarks.stopping import Sweep, grid, main, pooled, report, verdict, write
from data.errors import SettingsError
from data.measures import Measure
from hardattn.runs import train
from hardattn.stopping.registry import RULES
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe

STEPS = 3


def sweep(share: float, count: int = 400) -> Sweep:
    """Right at a half of the images after one glimpse, then at `share`: with 1.5 glimpses by the gain."""
    number = np.arange(count)
    known = [(number % 100 < 100 * part).astype(float) for part in (0.5, share, share)]
    fixed = np.stack([np.full(count, float(t)) for t in (1, 2, 3)])
    gain = np.stack([np.ones(count), 1.0 + (number % 2)])
    taken = {"fixed": fixed, "gain": gain, "act": np.full((1, count), 2.0)}
    right = {"fixed": np.stack(known), "gain": np.stack([known[0], known[1]]), "act": known[1][None]}
    return Sweep(number, taken, right, STEPS)


def test_accuracy_is_interpolated_and_averaged_over_networks() -> None:
    found = pooled([sweep(0.7), sweep(0.9)])
    assert grid(STEPS) == [1.25, 1.5, 1.75, 2, 2.5]
    assert found["fixed"].value.tolist() == pytest.approx([0.575, 0.65, 0.725, 0.8, 0.8])
    assert found["gain"].value.tolist() == pytest.approx([0.65, 0.8, 0.8, 0.8, 0.8])
    assert np.isnan(found["act"].value).tolist() == [True, True, True, False, False]
    assert found["all"].value.tolist() == pytest.approx([0.8])


def test_intervals_are_those_of_images_drawn_alike_for_all_networks() -> None:
    one, two = pooled([sweep(0.7)]), pooled([sweep(0.7), sweep(0.7)])
    np.testing.assert_allclose(one["fixed"].samples, two["fixed"].samples)  # not narrower: the same images
    low, high = one["all"].interval()
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * (0.7 * 0.3 / 400) ** 0.5, rel=0.1)


def measure(*values: float, width: float = 0.01) -> Measure:
    middle = np.array(values)
    return Measure(middle, np.stack([middle - width, middle + width]))


def test_the_goal_is_met_only_where_intervals_do_not_overlap_and_two_glimpses_are_enough() -> None:
    fixed, act = measure(0.6, 0.6, 0.6, 0.6, 0.6), measure(np.nan, np.nan, 0.7, 0.7, 0.7)
    good = {"fixed": fixed, "act": act, "gain": measure(*[0.8] * 5), "all": measure(0.8)}
    assert verdict(good, STEPS)["gain"]["met"] and "gain: goal met; above fixed and act" in report(
        good, STEPS
    )
    close = verdict(good | {"act": measure(np.nan, np.nan, 0.7, 0.79, 0.7)}, STEPS)["gain"]
    assert close["not above"] == {"fixed": [], "act": [2.0]} and not close["met"]
    less = verdict(good | {"all": measure(0.81)}, STEPS)["gain"]
    assert not less["as good as all at 2"] and not less["met"]
    absent = verdict(good | {"gain": measure(np.nan, 0.8, 0.8, 0.8, 0.8)}, STEPS)["gain"]
    assert absent["not above"]["fixed"] == [1.25] and not absent["met"]


def test_paired_differences_tell_apart_what_intervals_beside_each_other_do_not() -> None:
    """Rules that are right at the same images but for a few: intervals overlap, the difference is above 0."""
    found = pooled([sweep(0.54)])  # of 400 images 16 more are right with the second glimpse
    places, by = grid(STEPS), found["gain"].minus(found["fixed"])
    assert by.value[places.index(1.5)] == pytest.approx(0.02)
    said = verdict(found, STEPS)["gain"]
    assert said["not above"]["fixed"] == places and 1.5 not in said["paired"]["fixed"]
    assert 2.5 in said["paired"]["fixed"]  # as many right after two glimpses as after three
    assert said["paired"]["act"] == [2.0, 2.5]  # level there, and act takes at least two
    assert "gain - fixed" in report(found, STEPS) and "image by image not above fixed at" in report(
        found, STEPS
    )


def test_runs_on_other_images_are_refused() -> None:
    with pytest.raises(SettingsError, match="expected runs on the same test images"):
        pooled([sweep(0.7), sweep(0.7, 300)])


def test_finished_runs_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(batch_size=16, hidden=16)
    folder = train(tiny_dataset(), tmp_path / "run", recipe=recipe, budget=Budget(epochs=2), device="cpu")
    monkeypatch.setattr("hardattn.loading.reopen", lambda *_: tiny_dataset())
    options = ["--of", str(folder), "--of", str(folder), "--device", "cpu", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, options)
    assert done.exit_code == 0, done.output
    assert "All 3 glimpses" in done.stdout and "goal" in done.stdout
    found = json.loads((tmp_path / "out" / "stopping.json").read_text())
    assert set(found["curves"]) == {*RULES, "all"} - {"halting"} and found["glimpses"] == grid(STEPS)
    assert (tmp_path / "out" / "stopping.md").read_text() == done.stdout
    alone = Sweep.of(folder, dataset=tiny_dataset(), device="cpu")
    assert write([alone], [folder], tmp_path / "one") == done.stdout.rstrip("\n")


def test_a_missing_run_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--of", str(tmp_path)])
    [line] = done.stderr.splitlines()
    assert done.exit_code == 1 and line.startswith("error: expected the folder of a training run"), line
    assert f"found no {tmp_path}/run.json" in line
