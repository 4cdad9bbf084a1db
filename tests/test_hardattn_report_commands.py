"""The commands that a report prints make the runs, and name the frontiers, that it shows."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hardattn_tiny import tiny_store
from report_tiny import COMMANDS, trained

from data.files import write_json
from data.registry import load
from hardattn.cli.main import main
from hardattn.loading import open_trained
from hardattn.report.commands import commands_of, frontier_command
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.budget import Budget

ELSEWHERE = {  # label -> options; STORE stands for sequences that are not the run's own
    "ps-nogs-0": ["--supervise"],
    "ps-nogs-given-0": ["--supervise", "STORE"],
    "fewer-3": ["--supervise", "STORE", "--supervised-images", "20", "--seed", "3", "--name", "fewer"],
    "ps-fixed-given-0": ["--method", "ps-fixed", "--supervise", "STORE", "--learning-rate", "0.00123456789"],
    "glance-0": ["--first-glance", "--name", "glance", "--loss-at", "2.5,1"],
}


def printed(folder: Path, label: str = "") -> dict[str, Any]:
    """The commands of a run."""
    folder = folder / f"hardattn-{label}" if label else folder
    return commands_of(folder, open_trained(folder, device="cpu"), 1)


def facts(folder: Path) -> dict[str, Any]:
    return checkpoint.read_json(folder / checkpoint.RUN)


def called(command: str) -> None:
    done = CliRunner().invoke(main, [*shlex.split(command)[1:], "--device", "cpu"])
    assert done.exit_code == 0, done.output


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with sequences of its own, and others in the folder above."""
    dataset, folder = load("digits"), tmp_path / "runs"
    folder.mkdir()
    tiny_store(folder / "sequences.h5", dataset)
    tiny_store(tmp_path / "given.h5", dataset, {"design": "other"})
    return folder


@pytest.mark.parametrize("label", [*COMMANDS, *ELSEWHERE])
def test_the_command_of_a_run_makes_it_again(label: str, runs: Path) -> None:
    """In the same folder, with the same run.json; nothing is left to Python."""
    given = str(runs.parent / "given.h5")
    folder = trained(
        runs, label, [given if word == "STORE" else word for word in (COMMANDS | ELSEWHERE)[label]]
    )
    commands = printed(folder)
    assert commands["beyond"] == {} and commands["evaluate"] == f"hardattn evaluate {folder}"
    folder.rename(runs / "before")
    called(commands["train"])
    assert facts(folder) == facts(runs / "before")


def test_a_row_of_a_table_is_made_again_under_a_name(runs: Path) -> None:
    """Its folder, its budget and its sequences are not as the command line would have them."""
    dataset = load("digits")
    store = tiny_store(runs / "sequences-design.h5", dataset, {"design": "third"})
    options: dict[str, Any] = {"budget": Budget(epochs=0.1 / 7), "glimpses": 2, "device": "cpu"}
    row = train(dataset, runs / "row-0", store=store, opened_with={"name": "digits"}, **options)
    called(printed(row)["train"])
    again = facts(runs / "hardattn-row-0")
    assert again["settings"] == facts(row)["settings"] and again["imitated"] == facts(row)["imitated"]


def test_what_no_option_says_is_told(runs: Path) -> None:
    folder = trained(runs, "random-0", COMMANDS["random-0"])
    run = open_trained(folder, device="cpu")
    opened = replace(run, origin=run.origin | {"region": "inner", "placements": 4})
    assert commands_of(folder, opened, 1)["beyond"] == {"region": "inner", "placements": 4}
    geometry = replace(run.settings.geometry, per_axis=5)
    coarser = replace(run, settings=replace(run.settings, geometry=geometry))
    assert commands_of(folder, coarser, 1)["beyond"] == {"geometry": geometry.to_json()}


def test_a_command_is_true_from_wherever_it_is_printed(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store is found from the run; the whole tree may also be moved."""
    monkeypatch.chdir(runs.parent)
    trained(Path("runs"), "ps-nogs-0", ["--supervise"])
    trained(Path("runs"), "ps-nogs-given-0", ["--supervise", "given.h5"])
    (runs.parent / "given.h5").rename(runs.parent.parent / "given.h5")
    moved = runs.rename(runs.parent.parent / "moved")
    monkeypatch.chdir(moved)
    own = printed(Path("../moved"), "ps-nogs-0")["train"]
    assert "--supervise --run ../moved" in own
    assert "--supervise ../given.h5 --run ../moved" in printed(Path("../moved"), "ps-nogs-given-0")["train"]


@pytest.mark.parametrize(
    ("label", "words", "told"),
    [
        ("ps-nogs-0", ["--supervised-images", "30"], "--supervise --supervised-images 30"),
        ("ps-nogs-beside-0", [], "--supervise {runs}/beside.h5 --supervised-images 600"),
    ],
)
def test_a_run_without_the_facts_is_told_from_its_name(
    label: str, words: list[str], told: str, runs: Path
) -> None:
    """Those of older versions: of a store beside them, and as many images as were imitated."""
    tiny_store(runs / "beside.h5", load("digits"), {"design": "third"})
    given = [str(runs / "beside.h5")] if "beside" in label else []
    folder = trained(runs, label, ["--supervise", *given, *words])
    noted = facts(folder)
    assert noted["imitated"]["supervised_images"] == (int(words[1]) if words else None)
    write_json(folder / checkpoint.RUN, {k: v for k, v in noted.items() if k != "imitated"})
    command = printed(folder)["train"]
    assert f" {told.format(runs=runs)} --run {runs} " in command
    folder.rename(runs / "before")
    called(command)
    assert facts(folder)["settings"] == noted["settings"]


def test_the_facts_do_not_decide_whether_a_run_is_the_same(runs: Path) -> None:
    """A store that was moved is still the same sequences; what was noted first is kept."""
    folder = trained(runs, "ps-nogs-0", ["--supervise"])
    before = facts(folder)
    moved = (runs / "sequences.h5").rename(runs / "moved.h5")
    assert trained(runs, "ps-nogs-0", ["--supervise", str(moved), "--name", "ps-nogs"]) == folder
    assert facts(folder) == before and before["imitated"]["store"] == "sequences.h5"


@pytest.mark.parametrize(
    ("path", "about", "command"),
    [
        (
            "runs/digits/frontier/frontier.json",
            {"dataset": "digits", "target": "label", "minutes": 60 / 7, "seed": 0},
            "hardattn frontier --dataset digits --run runs/digits --minutes 8.571428571428571 --seed 0",
        ),
        (
            "faces.json",
            {"dataset": "celebahq", "target": "Wearing Hat"},
            "hardattn frontier --dataset celebahq --attribute 'Wearing Hat'",
        ),
        ("frontier.json", {"minutes": 3.0}, None),
    ],
)
def test_the_command_of_a_frontier_says_what_its_file_knows(
    path: str, about: dict[str, Any], command: str | None
) -> None:
    assert frontier_command(Path(path), json.loads(json.dumps(about))) == command
