"""The comparison of stopping rules: costs, choice and means by hand, and on tiny runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hardattn_tiny import tiny_dataset, tiny_store

from benchmarks.results.tables.stopping import tables
from benchmarks.stopping.calibration import RIDGE, calibrated, features, fitted, fold_of, gained, scored
from benchmarks.stopping.command import main
from benchmarks.stopping.costs import Study, at_cost, shares, wanted_costs
from benchmarks.stopping.enough import alike, all_steps, enough
from benchmarks.stopping.networks import jobs_of
from benchmarks.stopping.outcomes import Looked, Network
from benchmarks.stopping.rows import rows_of
from benchmarks.stopping.rules import CALIBRATED
from data.errors import SettingsError
from hardattn.runs import train
from hardattn.stopping.flops import Costs
from hardattn.stopping.rules import Predictions
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe

STEPS, COUNT = 3, 200
COSTS = Costs(look=0.1, classify=0.02, heads={"gain": 0.01, "halting": 0.0}, asked={})


def looked(*shares_right: float, hard: float = 0.5, **said: torch.Tensor) -> Looked:
    """Right after t glimpses at a share of the images; the last `hard` of them are predicted to gain."""
    number = torch.arange(COUNT) / COUNT
    right = torch.stack([number < share for share in shares_right], 1).long()
    gain = (number * (number >= 1 - hard))[:, None].expand(-1, STEPS)
    log_probs = torch.tensor([[0.1, 0.9], [0.9, 0.1]]).log()[right]  # (N, T, 2): class 0 where it is right
    predictions = Predictions(log_probs, {"gain": gain, **said})
    return Looked(predictions, torch.zeros(COUNT, dtype=torch.long), torch.arange(COUNT), COSTS)


def network(seed: int = 0, attribute: str = "a", name: str = "PS-NOGS", **both: Looked) -> Network:
    its = both.get("its", looked(0.5, 0.9, 0.9))
    return Network(attribute, seed, name, 1.0, 10, both.get("valid", its), both.get("test", its))


def halts(reach: float) -> torch.Tensor:
    """(N, T) what is said before each glimpse by a network that halts after the first one, or never."""
    return torch.full((COUNT, STEPS), reach)


def test_a_coin_between_the_nearest_two_thresholds_meets_a_mean_cost() -> None:
    costs, wanted = np.array([3.0, 1.0, 1.0, 2.5]), [1.0, 1.3, 2.6, 3.0]
    taken = shares(costs, wanted)
    assert (taken @ costs).tolist() == pytest.approx(wanted) and taken.sum(1).tolist() == pytest.approx(
        [1] * 4
    )
    assert ((taken > 0).sum(1) <= 2).all()
    assert np.isnan(shares(costs, [0.9])).all() and shares(costs, [9.0]).tolist() == [[1, 0, 0, 0]]


def test_rules_are_compared_at_the_cost_that_validation_images_meet() -> None:
    study = Study([network()])
    assert wanted_costs(study) == {
        "glimpses": [1.25, 1.5, 2, 3],
        "MFLOPs": pytest.approx([0.145, 0.17, 0.22, 0.32]),
    }
    fixed, gain = (at_cost(study, rule, "glimpses", [1.5, 2.0]) for rule in ("fixed", "gain"))
    cell = ("a", 0)
    assert fixed.right[cell].mean(1).tolist() == pytest.approx([0.7, 0.9])
    assert fixed.above[cell] == pytest.approx(np.zeros((2, COUNT)))
    assert gain.right[cell].mean(1).tolist() == pytest.approx(
        [0.65, 0.9], abs=0.01
    )  # the last 1/4 or 1/2, 3 times


def test_the_cost_on_test_images_is_told_and_fixed_is_held_against_that() -> None:
    """Of the test images more are predicted to gain than of those of validation."""
    study = Study([network(valid=looked(0.5, 0.9, 0.9), test=looked(0.5, 0.9, 0.9, hard=0.75))])
    found, cell = at_cost(study, "gain", "glimpses", [2.0]), ("a", 0)
    assert found.spent[cell].mean() == pytest.approx(2.5)
    assert found.right[cell].mean() - found.above[cell].mean() == pytest.approx(0.9)  # fixed with 2.5


def test_of_networks_that_halt_validation_takes_one() -> None:
    """The worse one is better on the test images, which is not seen."""
    good, bad = looked(0.5, 0.9, 0.9, halting=halts(0.3)), looked(0.5, 0.6, 0.6, halting=halts(0.3))
    ones = [network(name="X", valid=bad, test=good), network(name="Y", valid=good, test=bad)]
    study = Study([network(), *ones])
    assert study.rules() == ["fixed", "gain", "entropy", "confidence", "halting"]
    found = at_cost(study, "halting", "glimpses", [2.0])
    assert found.right["a", 0].mean() == pytest.approx(0.6)
    assert found.right["a", 0].mean() - found.above["a", 0].mean() == pytest.approx(
        0.9
    )  # of the other network
    assert [set(group) for group in alike(study, "halting")] == [{("a", 0)}] * 2


def test_intervals_are_wider_where_seeds_differ() -> None:
    same = [network(seed, its=looked(0.5, 0.9, 0.9)) for seed in range(3)]
    other = [network(seed, its=looked(0.5, share, share)) for seed, share in enumerate((0.8, 0.9, 1.0))]
    widths = []
    for networks in (same, other):
        study = Study(networks)
        low, high = study.mean({cell: all_steps(its.test) for cell, its in study.cells.items()}).interval()
        widths.append(float(high[0] - low[0]))
    assert widths[0] == pytest.approx(2 * 1.96 * (0.9 * 0.1 / COUNT) ** 0.5, rel=0.15)
    assert widths[1] > 1.5 * widths[0]


def test_means_are_over_attributes_however_many_seeds_each_has() -> None:
    right = [np.full((1, COUNT), value) for value in (0.2, 0.4, 0.9)]
    cells = [("a", 0), ("a", 1), ("b", 0)]
    study = Study([network(seed, attribute) for attribute, seed in cells])
    assert study.mean(dict(zip(cells, right, strict=True))).value == pytest.approx([(0.3 + 0.9) / 2])


def test_one_threshold_for_all_networks_is_enough() -> None:
    """Of one attribute a tenth of the images gain, of the other nearly all: a number for both takes more."""
    easy, hard = looked(0.9, 1.0, 1.0, hard=0.1), looked(0.1, 0.1, 1.0, hard=0.9)
    study = Study([network(attribute="easy", its=easy), network(attribute="hard", its=hard)])
    found = enough(study, "gain", common=True)
    assert found is not None and found.valid_below == pytest.approx(0) and found.threshold
    assert found.valid_glimpses == pytest.approx((1.2 + 2.8) / 2)
    assert [its.mean() for its in found.spent.values()] == pytest.approx([1.2, 2.8])
    assert [its.mean() for its in found.below.values()] == pytest.approx([0, 0])
    own = enough(study, "gain", common=False)
    assert own is not None and own.threshold is None
    assert own.valid_glimpses == pytest.approx(2.8, abs=0.051)  # both take what the hard one needs
    for common in (True, False):
        fixed = enough(study, "fixed", common=common)
        assert fixed is not None and fixed.valid_glimpses == pytest.approx(3.0)


def test_a_rule_that_is_never_good_enough_has_no_row() -> None:
    easy = looked(0.9, 1.0, 1.0, hard=0.1)
    worse = network(attribute="easy", name="X", its=looked(0.5, 0.5, 0.5, halting=halts(0.3)))
    alone = Study([network(attribute="easy", its=easy), worse])
    assert [enough(alone, "halting", common=common) for common in (True, False)] == [None, None]


def doubtful(seed: int = 0) -> Looked:
    """Right after t glimpses where a draw says so; what the heads say is noise."""
    draw = torch.Generator().manual_seed(seed)
    chance = torch.rand(COUNT, STEPS, 2, generator=draw).clamp(0.1, 0.9).log().log_softmax(-1)
    heads = {name: torch.randn(COUNT, STEPS, generator=draw) for name in ("gain", "accuracy_gain")}
    return Looked(Predictions(chance, heads), torch.zeros(COUNT).long(), torch.arange(COUNT), COSTS)


def test_the_calibrated_gain_is_what_regression_says_of_the_rise() -> None:
    """Without the ridge's small pull residuals have nothing in common with what is known."""
    its = doubtful()
    weights, known = fitted([its], None), features(its)
    residual = gained(its) - scored(its, weights)[:, 1:]
    torch.testing.assert_close(torch.einsum("ntf,nt->tf", known, residual), RIDGE * weights)
    assert residual.var() < gained(its).var()


def test_validation_images_are_scored_by_what_was_learned_of_the_others() -> None:
    its = doubtful()
    [before] = calibrated([network(its=its)])
    labels = its.labels.clone()
    labels[fold_of(its) == 2] = 1
    [after] = calibrated([network(valid=replace(its, labels=labels), test=its)])
    pairs = [(its.valid.predictions.said[CALIBRATED], fold_of(its.valid) == 2) for its in (before, after)]
    (old, part), (new, _) = pairs
    assert torch.equal(old[part], new[part]) and not torch.allclose(old[~part], new[~part])
    known = [its.test.predictions.said[CALIBRATED] for its in (before, after)]
    assert not torch.allclose(*known)  # test images are scored by all of them


def test_only_networks_that_rules_stop_are_calibrated_and_only_with_both_heads() -> None:
    plain, its = network(), doubtful()
    assert calibrated([plain]) == [plain]
    said = {**its.predictions.said, "halting": halts(0.3)}
    other = network(its=replace(doubtful(1), predictions=Predictions(its.predictions.log_probs, said)))
    [alone], [known, same] = calibrated([network(its=its)]), calibrated([network(its=its), other])
    assert same is other  # nor does it say anything about those that rules stop
    assert torch.equal(*(each.test.predictions.said[CALIBRATED] for each in (alone, known)))
    study = Study([known])
    assert "calibrated" in study.rules() and study.cells["a", 0].test.costs.heads[CALIBRATED] == 0.01


def test_runs_that_cannot_be_compared_are_refused() -> None:
    its = looked(0.5, 0.9, 0.9)
    with pytest.raises(SettingsError, match="expected one run of a and seed 0, found two"):
        Study([network(), network()])
    with pytest.raises(SettingsError, match="expected a run that does not halt"):
        Study([network(its=looked(0.5, 0.9, 0.9, halting=halts(0.3)))])
    with pytest.raises(SettingsError, match="expected runs on the same test images"):
        Study([network(), network(1, its=replace(its, originals=its.originals + 1))])


def test_rows_are_flat_and_make_a_table() -> None:
    networks = [network(seed, attribute) for attribute in "ab" for seed in range(2)]
    worse = looked(0.5, 0.8, 0.9, halting=halts(0.3))
    rows = rows_of([*networks, *(network(0, each, "PS-ACT 0.01", its=worse) for each in "ab")])
    json.dumps(rows, allow_nan=False)
    assert len({(row["method"], row["seed"]) for row in rows}) == len(rows)
    assert sum(row["seconds"] for row in rows) == 6
    [row] = [row for row in rows if row["method"] == "gain, glimpses of 2" and row["seed"] == 1]
    assert row["accuracy"] == pytest.approx(0.9) and row["spent"] == pytest.approx(2.0)
    said = tables(rows)
    assert "PS-ACT 0.01: 2 networks of 2 attributes and 1 seeds" in said and "ACT, trained end to end" in said
    assert "| fixed | 2 | 2.00 | 2.00 | 90.0 | +0.00 (+0.00, +0.00) |" in said.splitlines()


def test_finished_runs_are_compared_and_those_that_halt_are_trained_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tiny_store(tmp_path / "s.h5", tiny_dataset())
    recipe = Recipe(batch_size=16, hidden=12)
    options = {"recipe": recipe, "budget": Budget(epochs=2), "device": "cpu", "store": store}
    folder = train(tiny_dataset(), tmp_path / "run", **options)
    for module in ("hardattn.loading", "benchmarks.stopping.networks"):
        monkeypatch.setattr(f"{module}.reopen", lambda *_: tiny_dataset())
    words = ["--of", str(folder), "--device", "cpu", "--jobs", "1", "--run", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*words, "--ponder-cost", "0.1", "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    names = {row["method"]: row for row in rows if row["kind"] == "network"}
    assert set(names) == {"PS-NOGS label", "PS-ACT 0.1 label"}
    assert names["PS-ACT 0.1 label"]["iterations"] == names["PS-NOGS label"]["iterations"] == 6
    made = tmp_path / "out" / "halting" / "label-ps-act-0.1-0"
    recipe_of = json.loads((made / "run.json").read_text())["settings"]["recipe"]
    assert recipe_of["hidden"] == 12 and recipe_of["ponder_cost"] == 0.1
    again = CliRunner().invoke(main, [*words, "--of", str(made), "--halting-iterations", "0", "--json"])
    assert json.loads(again.stdout)["rows"] == rows
    assert json.loads((tmp_path / "out" / "stopping.json").read_text())["rows"] == rows


def test_one_fit_serves_all_attributes_and_the_first_seed_of_all_comes_first(tmp_path: Path) -> None:
    jobs, runs = jobs_of(["Male", "Young"], tmp_path, None, 2, ["--epochs", "1"])
    names = [job.name for job in jobs]
    assert names[:3] == ["fit", "generate-Male", "generate-Young"]
    assert names[3:] == ["train-Male-0", "train-Young-0", "train-Male-1", "train-Young-1"]
    assert all(set(job.needs) <= set(names[:place]) for place, job in enumerate(jobs))
    assert "Male,Young" in jobs[0].arguments and str(tmp_path) in jobs[0].arguments
    assert runs[1] == tmp_path / "Young" / "hardattn-ps-nogs-0" and len(runs) == 4
    alone = jobs_of(["Male"], tmp_path, None, 1, [])[0]
    assert str(tmp_path / "Male") in alone[0].arguments


def test_a_missing_run_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--of", str(tmp_path)])
    [line] = done.stderr.splitlines()
    assert done.exit_code == 1 and line.startswith("error: expected the folder of a training run"), line
    assert f"found no {tmp_path}/run.json" in line
