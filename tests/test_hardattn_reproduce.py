"""`hardattn reproduce`: rows trained within their share, each for its own task, attribute and seed."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from reproduce_tiny import TINY, use_table, write_mnist

import hardattn.evaluation
import hardattn.experiments.reproduce.trainings
from data.coverage import coverage_table
from data.errors import CheckpointError, SettingsError
from data.geometry import Geometry
from data.registry import load
from data.tensors import load_tensors, save_tensors
from hardattn.cli.evaluate import table
from hardattn.cli.main import main
from hardattn.evaluation import evaluate, known_or_evaluated
from hardattn.experiments.reproduce.settings import Training, chosen, read_table, trainings
from hardattn.experiments.reproduce.trainings import reproduce
from hardattn.runs import train
from hardattn.training.budget import Budget
from hardattn.training.checkpoint import read_json

GEOMETRIES = """
dataset = "translated-mnist"
seeds = 1
canvas = 40
glimpses = 2

[[rows]]
name = "small"
method = "nogs-all"
sequences = "parts-train"
glimpse_size = 8
recipe = { hidden = 8 }

[[rows]]
name = "large among clutter"
method = "nogs-all"
sequences = "parts-train"
dataset = "cluttered-mnist"
glimpse_size = 16
scales = 2
glimpses = 3
recipe = { hidden = 8 }
"""
RECORDED = """
dataset = "digits"
seeds = 1
glimpses = 2

[[rows]]
name = "PS-RAM"
method = "ps-ram"
sequences = "recorded"
"""
CROPS = """
dataset = "digits"
seeds = 1
glimpses = 2
magnification = 5
published_on = "other digits"

[elsewhere.finite]
rows = ["pretrained", "comparator"]
magnification = 4

[[rows]]
name = "pretrained"
method = "multiglimpse"
features = "comparator"
published_error_percent = 16.0
recipe = { hidden = 8, frozen = true }

[[rows]]
name = "comparator"
method = "multiglimpse"
glimpses = 1
magnification = 1
recipe = { hidden = 8 }

[[rows]]
name = "random"
method = "random"
recipe = { hidden = 8 }
"""
NAMES = ("comparator-0", "pretrained-0")
UNSEEN = """
dataset = "translated-mnist"
canvas = 40
region = "inner"
unseen = { region = "outer" }
glimpses = 1
seeds = 2

[[rows]]
name = "random"
method = "random"
recipe = { hidden = 8, jitter = 0.0 }
"""


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_table(monkeypatch, tmp_path, TINY)
    return tmp_path


def test_every_row_is_trained_within_its_share_and_evaluated(tables: Path) -> None:
    said: list[str] = []
    found = reproduce("tiny", None, tables / "out", minutes=0.004, say=said.append)
    names = ["parts, all images", "random places", "the centre alone", "fully connected"]
    assert [row.method for row in found.rows] == names
    assert said[0].endswith("0.0 minutes") and len(said) == 4
    for row in found.rows:
        assert 0 <= row.error_percent <= 100 and 0 < row.iterations < row.parameters
        assert row.mflops > 0 and row.unseen_error_percent is None
    assert [row.chooses for row in found.rows] == [True, False, False, False]
    assert [choice.method for choice in found.choices] == ["parts, all images"]


def test_the_compute_of_a_row_is_that_of_its_curve(tables: Path) -> None:
    """Of the parts, at the last glimpse the class is said once; of the baseline, at its only exit."""
    for row in reproduce("tiny", None, tables / "out", minutes=0.004).rows:
        seen = read_json(Path(row.run) / "evaluation.json")
        last = float(len(seen["accuracy_at"]))
        assert [row.mflops] == [
            point["mflops"]
            for point in seen["curve"]
            if (point["rule"], point["threshold"]) == ("fixed", last)
        ]
        assert (row.mflops < 0.9999 * last * seen["mflops_per_glimpse"]) == (last > 1)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs that are evaluated."""
    made: list[str] = []

    def noted(run_folder: Path, *arguments: Any, **options: Any) -> hardattn.evaluation.Evaluation:
        made.append(run_folder.name)
        return evaluate(run_folder, *arguments, **options)

    monkeypatch.setattr(hardattn.evaluation, "evaluate", noted)
    return made


def test_test_images_are_looked_at_once(tables: Path, looks: list[str]) -> None:
    first = reproduce("tiny", None, tables / "out", minutes=0.004)
    assert len(looks) == len(first.rows)
    assert reproduce("tiny", None, tables / "out", minutes=0.004) == first
    assert len(looks) == len(first.rows)  # what is done is not done again


def test_networks_of_before_are_tested_at_the_placements_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: list[str]
) -> None:
    written = []
    for text in (TINY, TINY.replace("glimpses = 2", "glimpses = 2\ncanvas_seed = 1")):
        use_table(monkeypatch, tmp_path, text)
        for _ in range(2):
            reproduce("tiny", None, tmp_path / "out", minutes=0.004, only="random")
        written.append(read_json(tmp_path / "out" / "random-places-0" / "evaluation.json"))
    before, now = written
    assert before["weights"] == now["weights"] and len(looks) == 2
    assert before["fingerprint"] == load("digits")["test"].fingerprint
    assert now["fingerprint"] == load("digits", canvas_seed=1)["test"].fingerprint


def test_a_row_of_before_there_was_a_choice_of_weights_is_taken_as_it_is(tables: Path) -> None:
    found = reproduce("tiny", None, tables / "out", minutes=0.004, only="random")
    path = Path(found.rows[0].run) / "run.json"
    said = read_json(path)
    for name in ("select", "optimizer", "momentum", "schedule"):
        del said["settings"]["recipe"][name]
    path.write_text(json.dumps(said))
    assert reproduce("tiny", None, tables / "out", minutes=0.004, only="random") == found


def test_figures_of_other_weights_or_of_several_trajectories_are_not_taken(
    tables: Path, looks: list[str]
) -> None:
    def row() -> object:
        return reproduce("tiny", None, tables / "out", minutes=0.004, only="random").rows[0]

    first, run = row(), tables / "out" / "random-places-0"
    evaluate(run, trajectories=2)
    assert row() == first and len(looks) == 2
    assert row() == first and len(looks) == 2


def one_iteration(folder: Path) -> Path:
    return train(load("digits"), folder, method="random", glimpses=1, budget=Budget(epochs=0.01))


def test_whether_figures_are_of_the_weights_is_not_told_by_a_clock(tmp_path: Path, looks: list[str]) -> None:
    run = one_iteration(tmp_path / "run")
    known_or_evaluated(run, device="cpu")
    weights, now = run / "model.safetensors", (run / "evaluation.json").stat().st_mtime
    for number, later in enumerate((1e9, -1e9), 1):
        os.utime(weights, (now + later, now + later))
        known_or_evaluated(run, device="cpu")
        assert len(looks) == number
        tensors, about = load_tensors(weights, "")
        save_tensors(weights, {name: value / 2 for name, value in tensors.items()}, about)
        os.utime(weights, (now + later, now + later))
        known_or_evaluated(run, device="cpu")
        assert len(looks) == number + 1


def test_an_evaluation_that_is_there_has_all_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(load("digits"), tmp_path / "run", method="random", glimpses=1, budget=Budget(epochs=0.01))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hardattn.evaluation.write_csv", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run)
    assert not (run / "evaluation.json").exists()


def test_another_time_in_the_same_folder_is_refused_before_anything_is_made(tables: Path) -> None:
    reproduce("tiny", None, tables / "out", minutes=0.004, only="random")
    (tables / "out" / "random-places-0" / "log.jsonl").unlink()
    for options in ({"minutes": 0.008}, {"minutes": 0.004, "seeds": 2}):
        with pytest.raises(CheckpointError) as refused:
            reproduce("tiny", None, tables / "out", only="random", **options)
        assert "use the same --minutes, or another --run folder" in str(refused.value)
        assert str(refused.value).startswith(f"expected {tables / 'out' / 'random-places-0'} of ")
    assert not (tables / "out" / "random-places-0" / "log.jsonl").exists()


def test_the_learning_curve_is_that_of_the_log(tables: Path) -> None:
    (found,) = reproduce("tiny", None, tables / "out", minutes=0.004, only="random").rows
    curve = (tables / "out" / "curve-random-places-0.csv").read_text()
    lines = list(csv.DictReader(curve.splitlines()))
    logged = [json.loads(line) for line in (Path(found.run) / "log.jsonl").read_text().splitlines()]
    assert [float(line["nll"]) for line in lines] == [line["nll"] for line in logged]
    assert int(lines[-1]["iteration"]) == found.iterations and set(lines[0]) == set(
        hardattn.experiments.reproduce.trainings.CURVE
    )


def test_the_command_line(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = (each for each in main.commands["reproduce"].params if each.name == "name")
    options = ["tiny", "--minutes", "0.004", "--run", str(tables / "out"), "--row", "random"]
    monkeypatch.setattr(name, "type", click.STRING)  # else of known names
    machine = CliRunner().invoke(main, ["reproduce", *options, "--json"])
    assert machine.exit_code == 0, machine.output
    found = json.loads(machine.stdout)
    assert {"name", "rows", "error_percent", "published_error_percent"} < set(found)
    wanted = {"method", "error_percent", "published_error_percent", "seconds", "iterations", "seed", "mflops"}
    assert {*wanted, "parameters"} < set(found["rows"][0])
    assert found["rows"][0]["method"] == "random places" and found["published_error_percent"] == 50.0
    assert found["published"] == [{"name": "somebody", "error_percent": 12.9, "iterations": 25100}]
    human = CliRunner().invoke(main, ["reproduce", *options])
    assert "chosen on validation: random places" in human.stdout
    assert "published: somebody 12.9 % after 25,100 iterations" in human.stdout.splitlines()
    refused = CliRunner().invoke(main, ["reproduce", *options, "--attribute", "Male"])
    assert_refused(refused, "expected no --attribute for a table of no attributes, found Male")


def test_rows_have_data_and_glimpses_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_table(monkeypatch, tmp_path, GEOMETRIES)
    found = reproduce("tiny", write_mnist(tmp_path / "mnist"), tmp_path / "out", minutes=0.004)
    settings = [read_json(Path(row.run) / "run.json")["settings"] for row in found.rows]
    assert [one["dataset"] for one in settings] == ["translated-mnist", "cluttered-mnist"]
    geometries = [Geometry(**one["geometry"]) for one in settings]
    assert [(one.glimpse_size, one.scales) for one in geometries] == [(8, 1), (16, 2)]
    assert [one["glimpses"] for one in settings] == [2, 3]
    stores = sorted(path.name for path in (tmp_path / "out").glob("*.h5"))
    assert len(stores) == 2 and stores[1] == "sequences-parts-train-glimpse-size-8.h5"
    assert len(found.choices) == 2 and found.rows[1].task.startswith("cluttered-mnist, canvas 40, glimpses 3")


def test_every_seed_is_also_tested_where_it_was_never_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: list[str]
) -> None:
    use_table(monkeypatch, tmp_path, UNSEEN)
    found = reproduce("tiny", write_mnist(tmp_path / "mnist"), tmp_path / "out", minutes=0.004)
    assert [row.seed for row in found.rows] == [0, 1]
    for row in found.rows:
        written = [read_json(Path(row.run) / f"evaluation{end}.json") for end in ("", "-other")]
        errors = [100 * (1 - one["accuracy_at"]["1"]) for one in written]
        assert errors == [row.error_percent, row.unseen_error_percent]
    (summary,) = found.summaries
    assert summary.trainings == 2 and summary.unseen_error_percent is not None
    assert looks == ["random-0", "random-0", "random-1", "random-1"]
    evaluate(tmp_path / "out" / "random-1", tmp_path / "mnist")  # those of the training, as other images
    assert reproduce("tiny", tmp_path / "mnist", tmp_path / "out", minutes=0.004) == found
    assert looks[4:] == ["random-1"]
    one = reproduce("tiny", tmp_path / "mnist", tmp_path / "one", minutes=0.004, seeds=1)
    assert len(one.rows) == 1


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("big", {}, "a table of tiny; found 'big'"),
        ("tiny", {"minutes": 0.0}, "minutes above 0 .* found 0.0 and 1"),
        ("tiny", {"seeds": 0}, "at least 1 seed, found 60.0 and 0"),
        ("tiny", {"seed": -1}, "a seed from 0 .* found -1"),
        ("tiny", {"only": "zebra"}, "--row with a part of .* found 'zebra'"),
        ("tiny", {"attributes": ["Male"]}, "no --attribute for a table of no attributes, found Male"),
    ],
)
def test_what_cannot_be_is_refused(tables: Path, name: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        reproduce(name, None, tables / "out", **options)
    assert not (tables / "out").exists()


def test_what_reinforce_looked_at_needs_a_row_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_table(monkeypatch, tmp_path, RECORDED)
    with pytest.raises(SettingsError, match="expected a row of the method ram .* beside 'PS-RAM'"):
        reproduce("tiny", None, tmp_path / "out", minutes=0.004)


def attributed() -> list[Training]:
    return trainings(read_table("nogs-celebahq"), minutes=80.0, seed=3, seeds=2)


def test_attributes_and_seeds_share_the_time_of_a_row() -> None:
    every = attributed()
    assert len(every) == 8 * 7 * 2 and sum(one.minutes for one in every) == pytest.approx(80.0)
    assert len({one.run_name for one in every}) == len(every) and {one.seed for one in every} == {3, 4}
    few = chosen(every, "PS-", ["Male", "Young"])
    assert {(one.name, one.row["attribute"]) for one in few} == {
        (row, attribute) for row in ("PS-NOGS", "PS-RAM") for attribute in ("Male", "Young")
    }
    assert few[0].minutes == every[0].minutes  # the others keep theirs
    assert {one.name for one in chosen(every, "RAM", ["Male"])} == {"RAM"}  # a whole name is that row alone
    assert {one.name for one in chosen(every, "AM", ["Male"])} == {"RAM", "PS-RAM", "WSRAM"}


def test_published_figures_may_be_told_by_attribute() -> None:
    found = {one.row["attribute"]: one for one in attributed() if one.name == "RAM"}
    assert found["Male"].published("error_percent") == 11.1
    assert found["Smiling"].published("error_percent") is None
    assert {one.published("iterations") for one in found.values()} == {25100}


def test_sides_are_a_row_s_own() -> None:
    rows = [{"name": "a", "method": "ram"}, {"name": "b", "method": "ram", "sides": [8, 16]}]
    plain, wide = trainings({"dataset": "digits", "rows": rows}, minutes=8, seed=0, seeds=1)
    assert (plain.sensor, wide.sensor) == ({}, {"sides": [8, 16]})
    assert wide.tag == "-sides-8-16" and wide.task == "digits, sides 8,16"


def test_a_row_begins_with_the_encoder_of_another_one_and_its_glimpses_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_table(monkeypatch, tmp_path, CROPS)
    found = reproduce("tiny", None, tmp_path / "out", minutes=0.01, only="pretrained")
    (row,) = found.rows
    whole, own = (load_tensors(tmp_path / "out" / name / "model.safetensors", "")[0] for name in NAMES)
    encoder = [name for name in own if name.startswith("what.")]
    assert encoder and all(torch.equal(own[name], whole[name]) for name in encoder)
    glance, crop = row.coverage
    assert (glance.share, glance.side, glance.random, glance.central) == (1, 40, 1, 1)
    assert 8 <= crop.side <= 20 and 0 <= crop.share < 1 and crop.images == len(load("digits")["test"])
    assert (
        row.published_on == "other digits"
        and row.chooses
        and found.choices[0].published_error_percent is None
    )
    (floor,) = reproduce("tiny", None, tmp_path / "out", minutes=0.01, only="random").rows
    assert [line.side for line in floor.coverage] == [40, 8] and floor.task == row.task
    assert abs(floor.coverage[1].share - floor.coverage[1].random) < 4 * floor.coverage[1].error
    assert coverage_table([("multiglimpse", row.coverage)]) in table(evaluate(Path(row.run), device="cpu"))
    assert reproduce("tiny", None, tmp_path / "out", minutes=0.01, only="pretrained") == found


def test_a_table_on_another_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_table(monkeypatch, tmp_path, CROPS)
    found = reproduce("tiny", None, tmp_path / "out", minutes=0.01, dataset="finite", only="comparator")
    assert [row.task for row in found.rows] == ["finite, glimpses 1, magnification 1"]


def test_an_encoder_of_no_row_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_table(monkeypatch, tmp_path, CROPS.replace('features = "comparator"', 'features = "other"'))
    with pytest.raises(SettingsError, match="expected a row 'other' beside 'pretrained'"):
        reproduce("tiny", None, tmp_path / "out", minutes=0.01, only="pretrained")
