"""What the rows of a table imitate: recorded sequences, and designs by another command."""

import subprocess
from pathlib import Path

import pytest
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_store
from reproduce_tiny import use_table, write_mnist

from data.errors import GlimpseError, SettingsError
from data.registry import load
from hardattn.experiments.reproduce.trainings import reproduce
from hardattn.experiments.row_sequences import designed, made_in
from hardattn.loading import open_trained
from hardattn.training.checkpoint import read_json, weights_digest
from supervision.parts import write_parts
from supervision.store import SequenceStore

RECORDED = """
dataset = "digits"
glimpses = 2

[[rows]]
name = "imitates REINFORCE"
method = "ps-ram"
sequences = "recorded"
recipe = { hidden = 8 }

[[rows]]
name = "REINFORCE"
method = "ram"
recipe = { hidden = 8 }
"""


def test_a_row_imitates_what_reinforce_of_its_seed_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_table(monkeypatch, tmp_path, RECORDED)
    (found,) = reproduce("tiny", None, tmp_path / "out", minutes=0.004, seed=3, only="imitates").rows
    store = SequenceStore.read(tmp_path / "out" / "sequences-recorded-3.h5")
    assert store.settings["design"]["method"] == "ram" and store.settings["design"]["seed"] == 3
    assert bool(store.done.all()) and found.made_in == 0.0
    trained = open_trained(tmp_path / "out" / "reinforce-3")  # before it
    assert trained.method == "ram" and weights_digest(trained.network) == store.settings["design"]["weights"]


DESIGNED = """
dataset = "digits"
glimpses = 2

[[rows]]
name = "designed"
method = "ps-nogs"
sequences = "fixed-order"
scales = 2
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that would have been called; each writes the sequences of a made-up task."""
    made: list[list[str]] = []

    def run(call: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        made.append(call)
        path = Path(call[call.index("--out") + 1])
        if not path.exists():
            tiny_store(path, tiny_dataset())
        return subprocess.CompletedProcess(call, 0)

    monkeypatch.setattr(subprocess, "run", run)
    return made


def test_designs_are_made_by_the_command_with_the_options_of_the_task(
    calls: list[list[str]], tmp_path: Path
) -> None:
    opened = {"name": "celebahq", "attribute": "Male", "data_root": "/faces"}
    path = tmp_path / "sequences-design.h5"
    store = designed(path, "design", tmp_path / "run", GEOMETRY, 3, opened, "cpu")
    assert store.steps == 3 and calls[0][1:4] == ["-m", "boed", "generate"]
    words = dict(zip(calls[0][4::2], calls[0][5::2], strict=True))
    assert words == {
        "--source": "design",
        "--run": str(tmp_path / "run"),
        "--out": str(path),
        "--glimpses": "3",
        "--scales": "1",
        "--glimpse-size": "4",
        "--dataset": "celebahq",
        "--device": "cpu",
        "--data-root": "/faces",
        "--attribute": "Male",
    }


def test_sequences_that_are_there_are_not_made_again(calls: list[list[str]], tmp_path: Path) -> None:
    path = tmp_path / "sequences-design.h5"
    for _ in range(2):
        designed(path, "design", tmp_path / "run", GEOMETRY, 3, {"name": "digits"})
    assert len(calls) == 1


def test_a_command_that_fails_is_named_and_its_time_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = subprocess.CompletedProcess[str]([], 2)
    path = tmp_path / "new" / "sequences-design.h5"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    spent = [made_in(path)]
    for _ in range(2):
        with pytest.raises(GlimpseError, match="expected designs from `-m boed generate --source design"):
            designed(path, "design", tmp_path / "run", GEOMETRY, 3, {"name": "digits"})
        spent.append(made_in(path))
    assert 0 == spent[0] < spent[1] < spent[2]


@pytest.mark.parametrize(("designs", "run"), [(None, "out/design-scales-2"), ("fits", "fits/digits")])
def test_designs_come_from_what_was_fitted_here_or_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, designs: str | None, run: str
) -> None:
    use_table(monkeypatch, tmp_path, DESIGNED)
    calls: list[list[str]] = []

    def fail(call: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(call)
        return subprocess.CompletedProcess(call, 2)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(GlimpseError, match="expected designs"):
        reproduce("tiny", None, tmp_path / "out", minutes=1.0, designs=designs and tmp_path / designs)
    words = dict(zip(calls[0][4::2], calls[0][5::2], strict=True))
    assert words["--run"] == str(tmp_path / run) and words["--scales"] == "2"
    assert words["--out"] == str(tmp_path / "out" / "sequences-fixed-order-scales-2.h5")


PLACED = """
dataset = "cluttered-mnist"
canvas = 40
placements = 3
glimpses = 2

[[rows]]
name = "designs, REINFORCE on the rest"
method = "ps-nogs"
sequences = "design"
recipe = { hidden = 8 }
"""


def test_designs_serve_training_digits_that_are_placed_several_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Design images are the same whatever the placements, and the command is told of none."""
    use_table(monkeypatch, tmp_path, PLACED)
    root = write_mnist(tmp_path / "mnist")

    def design(call: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert "--placements" not in call
        dataset = load("cluttered-mnist", root, canvas=40)
        write_parts(Path(call[call.index("--out") + 1]), dataset, "design", glimpses=2)
        return subprocess.CompletedProcess(call, 0)

    monkeypatch.setattr(subprocess, "run", design)
    (found,) = reproduce("tiny", root, tmp_path / "out", minutes=0.004).rows
    settings = read_json(Path(found.run) / "run.json")["settings"]
    once, thrice = (load("cluttered-mnist", root, canvas=40, placements=n) for n in (1, 3))
    assert settings["fingerprint"] == thrice.fingerprint("train", "valid")
    assert once["train"].fingerprint != thrice["train"].fingerprint
    assert settings["supervision"]["images"] == len(once["design"]) == 4
    assert once["design"].fingerprint == thrice["design"].fingerprint


def test_data_that_designs_are_not_made_for_are_refused(tmp_path: Path) -> None:
    opened = {"name": "translated-mnist", "data_root": None, "region": "inner"}
    with pytest.raises(SettingsError, match="expected no region with designed sequences"):
        designed(tmp_path / "s.h5", "design", tmp_path, GEOMETRY, 2, opened)
    assert not any(tmp_path.iterdir())
