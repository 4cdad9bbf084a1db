"""The command `hardattn predict`: table, JSON, values by comma, and what it refuses."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hardattn_tiny import tiny_dataset
from PIL import Image

import hardattn
from hardattn.baselines.training import train_baseline
from hardattn.cli.main import main
from hardattn.cli.predict import COLUMNS

RECIPE = hardattn.Recipe(batch_size=16, hidden=16, learning_rate=1e-2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a baseline and a folder with three images of the task, one of them twice as large."""
    place, dataset = tmp_path_factory.mktemp("predict"), tiny_dataset()
    budget = hardattn.Budget(epochs=4)
    hardattn.train(dataset, folder=place / "run", budget=budget, recipe=RECIPE, device="cpu")
    train_baseline(dataset, place / "cnn", "cnn", budget=hardattn.Budget(epochs=1), device="cpu")
    (place / "images").mkdir()
    for number in range(3):
        image = Image.fromarray(dataset["test"].images[number, ..., 0].numpy())
        image.resize((32, 32) if number == 2 else (16, 16)).save(place / "images" / f"{number}.png")
    (place / "empty").mkdir()
    return place


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, words), "--device", "cpu"])


def test_a_table_for_people(folder: Path) -> None:
    done = call(folder / "run", folder / "images")
    lines = done.stdout.splitlines()
    assert done.exit_code == 0, done.stderr
    assert lines[0].split() == [*COLUMNS] and len(lines) == 5
    assert re.fullmatch(rf"{folder}/images/0.png +(left|right) +0\.\d{{3}} +3 +\d+ +48 +48", lines[1])
    assert lines[-1] == "3 images, 3.00 glimpses in the mean, all glimpses taken"


def test_json_is_what_python_says(folder: Path) -> None:
    done = call(folder / "run", folder / "images" / "1.png", folder / "images" / "0.png", "--stop",
                "entropy=0.6", "--json")  # fmt: skip
    found = json.loads(done.stdout)
    model = hardattn.load(folder / "run", device="cpu")
    wanted = model.predict(tiny_dataset()["test"].images[:2].flip(0), hardattn.Entropy(0.6))
    assert found["stop"] == "entropy=0.6" and [row["label"] for row in found["images"]] == wanted.names
    assert [row["file"][-5:] for row in found["images"]] == ["1.png", "0.png"]
    for number, row in enumerate(found["images"]):
        assert row["glimpses"] == wanted.taken[number] == len(row["places"])
        assert row["places"] == wanted.places[number, : row["glimpses"]].tolist()
        np.testing.assert_allclose(
            list(row["probabilities"].values()), wanted.probabilities[number], atol=1e-6
        )


def test_a_budget_takes_the_threshold_of_the_validation_images(folder: Path) -> None:
    done = call(folder / "run", folder / "images", "--budget-glimpses", "1.5", "--json")
    model = hardattn.load(folder / "run", device="cpu")
    assert json.loads(done.stdout)["stop"] == str(model.stop_within(1.5))


def test_values_by_comma(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(call(folder / "run", folder / "images", "--csv").stdout)))
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "2.png"]
    assert list(rows[0])[:5] == ["file", "label", "probability", "glimpses", "pixels"]
    assert {row["values_read"] for row in rows} == {row["pixels_read"] for row in rows} == {"48"}
    assert all(row["glimpses"] == "3" and 0.5 <= float(row["probability"]) <= 1 for row in rows)


def test_a_baseline_predicts_too(folder: Path) -> None:
    found = json.loads(call(folder / "cnn", folder / "images", "--json").stdout)
    assert found["stop"] is None and all(row["pixels"] == 256 for row in found["images"])


@pytest.mark.parametrize(
    ("run", "image", "options", "words"),
    [
        ("run", "images", ["--stop", "gian=1"], "stopping rule of fixed, gain, .*; found 'gian'"),
        ("run", "images", ["--stop", "gain"], "RULE=THRESHOLD with a number, found 'gain'"),
        ("run", "images", ["--stop", "fixed=4"], "at most the 3 glimpses of training, found 4"),
        (
            "run",
            "images",
            ["--stop", "gain=1", "--budget-glimpses", "2"],
            "--budget-glimpses, found both",
        ),
        ("run", "images", ["--budget-glimpses", "0.5"], "a budget of at least 1 mean glimpses, found 0.5"),
        ("run", "images", ["--json", "--csv"], "--json or --csv, found both"),
        ("run", "nothing.png", [], r"an image or a folder of images, found no .*nothing\.png"),
        ("run", "empty", [], r"images \(\.avif, .* \.webp\) in .*empty, found none"),
        ("run", "run/run.json", [], r"a readable image, found .*run\.json"),
        ("empty", "images", [], r"the folder of a training run, found no .*run\.json"),
        ("cnn", "images", ["--stop", "gain=1"], "no stopping rule for the baseline cnn, found gain=1"),
        ("cnn", "images", ["--budget-glimpses", "2"], "takes glimpses, found the baseline cnn"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    folder: Path, run: str, image: str, options: list[str], words: str
) -> None:
    done = call(folder / run, folder / image, *options)
    assert done.exit_code == 2 and len(done.stderr.splitlines()) == 1
    assert re.search(f"error: expected (a )?.*{words}", done.stderr), done.stderr
