"""MultiGlimpse end to end: trained, taken up, evaluated, stopped, reported, warm-started."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from hardattn_tiny import MULTIGLIMPSE as SHORT
from hardattn_tiny import interrupted_after, tiny_dataset
from matplotlib.figure import Figure

import hardattn
from data.crop import crops
from data.errors import SettingsError
from data.tensors import load_tensors
from hardattn.cli.main import main
from hardattn.evaluation import evaluate, looked_at
from hardattn.loading import open_trained
from hardattn.model.looking import look_at_all
from hardattn.recording import record
from hardattn.report.crops import crop_histograms, draw_crops
from hardattn.report.looks import Looks
from hardattn.report.pictures import _map
from hardattn.runs import train
from hardattn.stopping.registry import RULES
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe
from hardattn.warm_start import features_in

DATASET = tiny_dataset()
VARIANTS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "no clue": {"combine": "no-clue"},
    "2d-spatial-clue": {"combine": "spatial-clue"},
    "2d-spatial-loc": {"policy": "affine-map"},
    "2d-spatial-loc-s7": {"policy": "affine-map", "magnification": 7},
    "2d-spatial-loc-s7-no-aux": {"policy": "affine-map", "magnification": 7, "auxiliary": 0.0},
    "multihead-attention": {"policy": "affine-attention"},
    "comparator": {"glimpses": 1, "magnification": 1},
}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(DATASET, tmp_path_factory.mktemp("runs") / "hardattn-multiglimpse-0", **SHORT)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains_and_is_evaluated(name: str, tmp_path: Path) -> None:
    chosen = SHORT | VARIANTS[name]
    folder = train(DATASET, tmp_path / "run", **chosen)
    found = evaluate(folder, dataset=DATASET)
    assert set(found.accuracy_at) == {str(t) for t in range(1, chosen["glimpses"] + 1)}
    assert {point.rule for point in found.curve} >= {"fixed"}
    side = json.loads((folder / "run.json").read_text())["settings"]["geometry"]["glimpse_size"]
    assert side == int(16 / VARIANTS[name].get("magnification", 2.33))


def test_it_learns_where_the_square_is() -> None:
    model = hardattn.train(DATASET, **SHORT | {"budget": Budget(epochs=25), "tone": 0.0})
    found = model.evaluate()
    assert found.accuracy_at["3"] > 0.8
    looks, _ = looked_at(model.run, DATASET["test"])
    assert looks.locations[:, 0, 0].tolist() == [[0, 0, 16]] * 30
    row, col, side = looks.locations[:, 0, 1:].unbind(-1)
    assert int(side.min()) >= 3 and int(side.max()) <= 8
    assert int(torch.stack([row, col]).min()) >= 0 and int((torch.maximum(row, col) + side).max()) <= 17


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.run_folder.is_check", lambda iteration: iteration % 2 == 0)
    whole = train(DATASET, tmp_path / "whole", **SHORT)
    with interrupted_after(5, monkeypatch):
        train(DATASET, tmp_path / "parts", **SHORT)
    parts = train(DATASET, tmp_path / "parts", **SHORT)
    one, other = (load_tensors(each / "last.safetensors", "")[0] for each in (whole, parts))
    assert one.keys() == other.keys() and any("momentum_buffer" in name for name in one)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_predictions_that_stop_are_those_of_the_curve(folder: Path) -> None:
    model = hardattn.load(folder, device="cpu")
    looks, costs = looked_at(model.run, DATASET["test"])
    noted = [point["threshold"] for point in model.run.about["stopping"] if point["rule"] == "entropy"]
    threshold = sorted(noted)[len(noted) // 2]
    stops = RULES["entropy"].stops(looks.predictions, threshold)
    answers = model.predict(DATASET["test"].images, hardattn.Entropy(threshold))
    assert answers.taken.tolist() == stops.taken.tolist()
    chances = torch.from_numpy(answers.probabilities)
    torch.testing.assert_close(chances, stops.log_probs.exp().float(), atol=1e-5, rtol=1e-4)
    assert costs.glimpse > costs.classify > 0


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "halting"])
def test_every_stopping_rule_stops_it(rule: str, folder: Path) -> None:
    model = hardattn.load(folder, device="cpu")
    point = next(point for point in model.run.about["stopping"] if point["rule"] == rule)
    answers = model.predict(DATASET["test"].images[:4], f"{rule}={point['threshold']}")
    assert len(answers.names) == 4 and answers.read["values_read"].max() <= 3 * 6 * 6


def test_the_report_has_the_crops_that_the_network_saw(folder: Path) -> None:
    run = open_trained(folder, dataset=DATASET, device="cpu")
    network, _ = run.glimpsing()
    looks = Looks.of(run, network)
    walk, rollout = (
        looks.walk(1),
        look_at_all(network, DATASET["test"], run.settings.geometry, 3, mode="greedy"),
    )
    assert walk["maps"] is None and len(walk["glimpses"]) == 3
    assert walk["locations"] == rollout.locations[1].tolist() and walk["locations"][0] == [0, 0, 16]
    wanted = rollout.logits[1].softmax(-1).tolist()
    assert [row for row in walk["probabilities"][1:]] == [pytest.approx(row, abs=2e-3) for row in wanted]
    heat = looks.heat()
    assert [map_["sides"] for map_ in heat] == [{}] * 3 and all(map_["high"] > 0.3 for map_ in heat)


def test_histograms_of_crops_are_shares_of_the_images(folder: Path) -> None:
    run = open_trained(folder, dataset=DATASET, device="cpu")
    looks = Looks.of(run, run.glimpsing()[0])
    found = crop_histograms(looks.locations, run.settings.geometry)
    assert len(found) == 2 and all(
        sum(shares) == pytest.approx(1) for one in found for shares in one.values()
    )
    wide = looks.locations[:, 1, 2] / 16
    assert sum(found[0]["s"][:6]) == pytest.approx((wide < 0.3).double().mean().item())
    assert crop_histograms(looks.locations, DATASET.geometry) == []


def test_the_picture_of_crops_has_the_accuracy_after_every_glimpse() -> None:
    crops_of = [{name: [0.05] * 20 for name in "sxy"}] * 2
    run = {"label": "a", "crops": crops_of, "evaluation": {"accuracy_at": {"1": 0.25, "2": 0.5, "3": 0.75}}}
    figure = Figure()
    draw_crops(figure, [run, run])
    panels = figure.axes
    assert [axes.get_xlabel() for axes in panels] == ["s", "x", "y", "glimpses"] * 2
    (line,) = panels[3].lines
    assert np.asarray(line.get_xydata()).tolist() == [[1, 25], [2, 50], [3, 75]]


def test_a_picture_has_the_crops_beside_the_image(folder: Path) -> None:
    run = open_trained(folder, dataset=DATASET, device="cpu")
    walk = Looks.of(run, run.glimpsing()[0]).walk(0)
    figure = Figure()
    axes = figure.add_subplot()
    _map(axes, {"map": None}, walk, 2, (0, 16, 16, 0))
    seen = crops(
        DATASET["test"].images, torch.tensor([0]), torch.tensor([[walk["locations"][2]]]).float(), 6, 1
    )
    drawn = torch.from_numpy(np.array(axes.images[0].get_array())).float()
    assert drawn.shape == (6, 6) and axes.get_title() == "glimpse 3"
    assert (drawn / 255 - seen[0, 0, 0]).abs().mean() < 0.15  # at a place up to half a pixel beside


def test_where_it_looks_is_recorded_as_whole_pixels(folder: Path, tmp_path: Path) -> None:
    store = record(folder, out=tmp_path / "s.h5", dataset=DATASET, device="cpu")
    network, settings = open_trained(folder, dataset=DATASET, device="cpu").glimpsing()
    seen = look_at_all(network, DATASET["design"], settings.geometry, 3, mode="greedy")
    assert torch.equal(store.load().locations, seen.locations)


@pytest.mark.parametrize("frozen", [False, True])
def test_an_encoder_of_whole_images_is_taken_over(frozen: bool, tmp_path: Path) -> None:
    whole = train(DATASET, tmp_path / "whole", **SHORT | {"glimpses": 1, "magnification": 1})
    network, _ = hardattn.load(whole, device="cpu").run.glimpsing()
    taught, features = network.what.state_dict(), features_in(whole)
    folder = train(DATASET, tmp_path / "run", features=features, frozen=frozen, **SHORT)
    last = load_tensors(folder / "last.safetensors", "")[0]
    same = [torch.equal(last[f"network.what.{name}"], value) for name, value in taught.items()]
    assert all(same) if frozen else not any(same)
    settings = json.loads((folder / "run.json").read_text())["settings"]
    assert settings["features"] == features.digest() and settings["recipe"]["frozen"] is frozen


def test_an_encoder_of_another_size_is_refused(tmp_path: Path) -> None:
    whole = train(DATASET, tmp_path / "whole", **SHORT | {"glimpses": 1, "magnification": 1})
    with pytest.raises(SettingsError, match="expected --features of an encoder that is built as this one"):
        train(DATASET, tmp_path / "run", features=features_in(whole), **SHORT | {"hidden": 16})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"frozen": True}, "expected --features with --frozen, found none"),
        ({"magnification": 1}, "expected a --magnification above 1 with 3 glimpses"),
        ({"magnification": 20}, "expected a --magnification from 1 to 8"),
        ({"policy": "categorical"}, "expected a method that trains --policy categorical, found multiglimpse"),
        (
            {"core": "gru", "policy": "affine-map"},
            "expected --core attention or mean with --policy affine-map",
        ),
        ({"auxiliary": 1.5}, r"expected a share in \[0, 1\] for --auxiliary, found 1.5"),
        ({"geometry": DATASET.geometry}, "expected --magnification to choose the glimpse"),
        (
            {"method": "ram", "magnification": 3},
            "expected --method multiglimpse with --magnification, found ram",
        ),
        ({"method": "ram", "auxiliary": 0.5}, "expected multiglimpse with --auxiliary, found ram"),
        ({"method": "ram", "policy": "affine"}, "expected a --policy that learns by its log-probability"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(
    chosen: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=words):
        train(DATASET, tmp_path / "run", **SHORT | chosen)
    assert not (tmp_path / "run").exists()


def test_a_core_with_any_policy_keeps_its_glimpses(tmp_path: Path) -> None:
    """The parts are those of any network: fusion by attention under REINFORCE."""
    recipe = Recipe(batch_size=16, hidden=8, core="attention", encoder="residual")
    folder = train(
        DATASET, tmp_path / "run", method="ram", recipe=recipe, budget=Budget(epochs=1), device="cpu"
    )
    assert evaluate(folder, dataset=DATASET).accuracy_at


def test_the_command_line_trains_evaluates_and_reports_it(tmp_path: Path) -> None:
    words = [
        "--method",
        "multiglimpse",
        "--magnification",
        5,
        "--hidden",
        8,
        "--epochs",
        0.04,
        "--glimpses",
        2,
    ]
    done = call("train", "--run", tmp_path, "--device", "cpu", *words)
    folder = tmp_path / "hardattn-multiglimpse-0"
    assert done.exit_code == 0 and str(folder) in done.stdout, done.output
    settings = json.loads((folder / "run.json").read_text())["settings"]
    assert settings["geometry"]["affine"] and settings["geometry"]["glimpse_size"] == 8
    assert settings["recipe"]["auxiliary"] == 0.6 and settings["recipe"]["loss_at"] == "after"
    found = json.loads(call("evaluate", folder, "--json").stdout)
    assert set(found["accuracy_at"]) == {"1", "2"} and found["mflops_per_glimpse"] > 0
    page = call("report", folder, "--images", 2, "--out", tmp_path / "page.html")
    assert page.exit_code == 0 and (tmp_path / "page.html").exists(), page.output
    pictures = call("report", folder, "--images", 1, "--format", "png", "--out", tmp_path / "pictures")
    drawn = {path.name.split("-")[1].removesuffix(".png") for path in (tmp_path / "pictures").iterdir()}
    assert pictures.exit_code == 0 and drawn >= {"image", "heat", "crops"}, pictures.output
    own = ["--frozen", "--features", folder, "--policy", "affine-map", "--auxiliary", 0, "--name", "frozen"]
    again = call("train", "--run", tmp_path, "--device", "cpu", *words, *own)
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    "words", [("--glimpse-size", "8"), ("--sides", "8,16"), ("--first-glance",), ("--deviation", "0.2")]
)
def test_the_command_line_refuses_a_sensor_of_its_own(words: tuple[str, ...], tmp_path: Path) -> None:
    done = call("train", "--run", tmp_path, "--method", "multiglimpse", *words)
    assert_refused(done, "expected")
    assert not list(tmp_path.iterdir())
