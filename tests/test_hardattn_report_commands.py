"""The commands that a report shows are those that runs and frontiers note; what notes none says so."""

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from hardattn_tiny import tiny_store
from report_tiny import COMMANDS, trained, write_frontier

from data.files import write_json
from data.registry import load
from hardattn.cli.main import main
from hardattn.report.contents import commands_of
from hardattn.report.frontiers import read_frontier
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.budget import Budget


@pytest.mark.parametrize("label", COMMANDS)
def test_the_command_of_a_run_makes_it_again(label: str, tmp_path: Path) -> None:
    """In the same folder, with the same run.json."""
    folder = trained(tmp_path, label, COMMANDS[label])
    train, path = commands_of(folder)["train"], folder / checkpoint.RUN
    assert train is not None
    facts = checkpoint.read_json(path)
    folder.rename(tmp_path / "before")
    done = CliRunner().invoke(main, shlex.split(train)[1:])
    assert done.exit_code == 0, done.output
    assert checkpoint.read_json(path) == facts


def test_the_command_of_an_evaluation_says_what_it_drew() -> None:
    folder = Path("runs/some where/hardattn-ram-0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "read_json", lambda _: {"command": ["hardattn", "train", "--name", "a b"]})
        assert commands_of(folder) == {
            "train": "hardattn train --name 'a b'",
            "evaluate": "hardattn evaluate 'runs/some where/hardattn-ram-0'",
        }
        assert str(commands_of(folder, 5)["evaluate"]).endswith("hardattn-ram-0' --trajectories 5")


def test_a_run_of_python_or_of_an_older_version_has_no_command(tmp_path: Path) -> None:
    folder, options = tmp_path / "hardattn-ram-0", {"glimpses": 1, "hidden": 8, "device": "cpu"}
    train(load("digits"), folder, budget=Budget(epochs=0.01), **options)
    facts = checkpoint.read_json(folder / checkpoint.RUN)
    assert facts["command"] is None and commands_of(folder)["train"] is None
    write_json(folder / checkpoint.RUN, {name: value for name, value in facts.items() if name != "command"})
    assert commands_of(folder)["train"] is None


def test_the_command_does_not_decide_whether_a_run_is_the_same(tmp_path: Path) -> None:
    """A store that was moved is still the same sequences; what was noted first is kept."""
    tiny_store(tmp_path / "sequences.h5", load("digits"))
    folder = trained(tmp_path, "ps-nogs-0", ["--supervise"])
    before = checkpoint.read_json(folder / checkpoint.RUN)
    moved = (tmp_path / "sequences.h5").rename(tmp_path / "moved.h5")
    assert trained(tmp_path, "ps-nogs-0", ["--supervise", str(moved), "--name", "ps-nogs"]) == folder
    assert checkpoint.read_json(folder / checkpoint.RUN) == before
    assert before["imitated"]["store"] == "sequences.h5" and before["command"][-1] == "--supervise"


def test_the_command_of_a_frontier_is_that_of_its_file(tmp_path: Path) -> None:
    words = ["hardattn", "frontier", "--attribute", "Wearing Hat"]
    noted = write_frontier(tmp_path / "a.json", command=words)
    assert read_frontier(noted)["command"] == "hardattn frontier --attribute 'Wearing Hat'"
    older = write_frontier(tmp_path / "b.json", dataset="digits")
    assert "command" not in json.loads(older.read_text()) and read_frontier(older)["command"] is None
