"""The command line `hardattn` end to end, and what it says to bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_tiny import assert_refused
from click import Option
from click.testing import CliRunner, Result
from PIL import Image

from data.digits import load_digits
from data.sequences import Sequences
from hardattn.cli.main import main
from hardattn.model.registry import CORES
from supervision.store import SequenceStore


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of digits with sequences.h5 and fixed-order.h5, all looking at the same three places."""
    folder = tmp_path_factory.mktemp("digits")
    dataset = load_digits()
    grid, split = dataset.geometry.grid(), dataset["design"]
    rows = torch.arange(20)
    facts = {
        "dataset": "digits",
        "target": "label",
        "fingerprint": split.fingerprint,
        "geometry": dataset.geometry.to_json(),
    }
    for name in ("sequences.h5", "fixed-order.h5"):
        store = SequenceStore.write_to(
            folder / name, facts | {"design": {"file": name}}, split.ids[:20], 2, grid.locations
        )
        places = grid.locations[torch.tensor([40, 20])].expand(20, -1, -1)
        zeros = torch.zeros(20, 3)
        store.write(rows, Sequences(places, zeros[:, :2], zeros, torch.zeros(20, 2, len(grid))))
    return folder


def test_train_and_evaluate(run_dir: Path) -> None:
    result = call("train", "--run", run_dir, "--supervise", "--glimpses", 2, "--epochs", 0.05)
    folder = run_dir / "hardattn-ps-nogs-0"
    assert result.exit_code == 0, result.output
    assert str(folder) in result.stdout
    human = call("evaluate", folder)
    assert human.exit_code == 0 and "accuracy %" in human.stdout and "curve.png" in human.stdout
    machine = call("evaluate", folder, "--json")
    found = json.loads(machine.stdout)
    assert (
        found["dataset"] == "digits"
        and found["test_images"] == 600
        and set(found["accuracy_at"]) == {"1", "2"}
    )


def test_sequences_of_another_file_get_a_folder_of_their_own(run_dir: Path) -> None:
    options = ["--glimpses", 2, "--epochs", 0.02, "--seed", 3]
    result = call("train", "--run", run_dir, "--supervise", run_dir / "fixed-order.h5", *options)
    assert result.exit_code == 0, result.output
    imitated = json.loads((run_dir / "hardattn-ps-nogs-fixed-order-3" / "run.json").read_text())
    assert imitated["settings"]["supervision"]["settings"]["design"] == {"file": "fixed-order.h5"}


@pytest.mark.parametrize("core", CORES)
def test_every_core_trains(core: str, tmp_path: Path) -> None:
    words = ["--core", core, "--hidden", 16, "--glimpses", 2, "--epochs", 0.02]
    result = call("train", "--run", tmp_path, *words)
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "hardattn-ram-0" / "run.json").read_text())["settings"]
    assert settings["recipe"]["core"] == core
    evaluation = json.loads(call("evaluate", tmp_path / "hardattn-ram-0", "--json").stdout)
    assert set(evaluation["accuracy_at"]) == {"1", "2"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "letters"], ("a data set of digits, mnist", "'letters'")),
        (["--dataset", "celebahq"], ("CelebAMask-HQ-attribute-anno.txt", "none given", "--data-root")),
        (
            ["--dataset", "celebahq", "--data-root", "nowhere"],
            ("CelebA-HQ-img", "no folder nowhere", "--data-root"),
        ),
        (["--attribute", "Male"], ("no attribute for digits", "'Male'", "celebahq")),
        (["--supervise", "missing.h5"], ("glimpse sequences at missing.h5", "found none", "boed generate")),
        (["--supervise", "--method", "ram"], ("no sequences for method ram", "leave out --supervise")),
        (["--method", "ps-nogs"], ("sequences for method ps-nogs", "found none", "--supervise")),
        (["--method", "best"], ("a method of ps-nogs", "'best'")),
        (["--epochs", "1", "--minutes", "1"], ("--epochs or --minutes", "found both")),
        (["--epochs", "0"], ("a finite budget above 0", "found 0.0")),
        (["--minutes", "-1"], ("a finite budget above 0", "found -1.0")),
        (["--glimpses", "0"], ("--glimpses of at least 1", "found 0")),
        (["--glimpse-size", "41"], ("1 to 40 pixels", "found 41", "smaller glimpse")),
        (["--scales", "0"], ("at least 1 scale", "found 0")),
        (["--supervised-images", "5"], ("--supervise with --supervised-images", "found none")),
        (["--device", "abacus"], ("device auto, cpu or cuda", "'abacus'")),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(
    arguments: list[str], words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(call("train", *arguments), *words)
    assert list(tmp_path.iterdir()) == []


def test_evaluate_refuses_what_is_no_run(tmp_path: Path) -> None:
    assert_refused(call("evaluate", tmp_path), "a training run", f"no {tmp_path}/run.json", "hardattn train")
    assert list(tmp_path.iterdir()) == []


def test_sequences_made_with_another_glimpse_are_refused(run_dir: Path) -> None:
    result = call("train", "--run", run_dir, "--supervise", "--glimpse-size", 10, "--seed", 9)
    assert_refused(result, "geometry", '"glimpse_size": 10', '"glimpse_size": 8')
    assert not (run_dir / "hardattn-ps-nogs-9").exists()


def test_evaluate_with_test_images_only(tmp_path: Path) -> None:
    """A run on a folder of faces, evaluated on another folder that holds test images only."""
    names = " ".join(["Male", "Young"])
    for root, ids in (
        ("all", [2000, 2001, 2002, 2003, 27000, 27001, 27500, 27501]),
        ("test", [28000, 28001, 28002]),
    ):
        images = tmp_path / root / "CelebA-HQ-img"
        images.mkdir(parents=True)
        rows = []
        for i in ids:
            pixels = np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / f"{i}.jpg")
            rows.append(f"{i}.jpg  {1 if i % 2 else -1} 1")
        text = "\n".join([str(len(rows)), names, *rows]) + "\n"
        (tmp_path / root / "CelebAMask-HQ-attribute-anno.txt").write_text(text)
    common = ["--dataset", "celebahq", "--attribute", "Male", "--data-root", tmp_path / "all"]
    made = call("train", *common, "--run", tmp_path / "run", "--glimpses", 1, "--epochs", 0.01)
    assert made.exit_code == 0, made.output
    folder = tmp_path / "run" / "hardattn-ram-0"
    found = json.loads(call("evaluate", folder, "--data-root", tmp_path / "test", "--json").stdout)
    assert found["test_images"] == 3


@pytest.mark.parametrize("command", ["train", "evaluate", "record"])
def test_every_option_is_explained(command: str) -> None:
    text = call(command, "--help").stdout
    assert "Examples:" in text
    assert all(option.help for option in main.commands[command].params if isinstance(option, Option))
