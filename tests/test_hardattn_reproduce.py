"""Published tables: their settings, their rows, and the choice by validation."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import hardattn.learner
import hardattn.reproduce
import hardattn.train
from data.errors import SettingsError
from data.registry import DATASETS
from hardattn.baselines import BASELINES
from hardattn.cli import main
from hardattn.methods import METHODS
from hardattn.recipe import Recipe
from hardattn.reproduce import Reproduction, Row, as_text, read_table, reproduce, table_names
from hardattn.whole_image import BaselineRecipe

TABLE = """
dataset = "digits"
glimpses = 2
published_error_percent = 50.0

[[rows]]
name = "parts, all images"
method = "nogs-all"
sequences = "parts-train"
published_error_percent = 50.0
share = 2.0
recipe = { hidden = 16 }

[[rows]]
name = "random places"
method = "random"
recipe = { hidden = 16 }

[[rows]]
name = "fully connected"
baseline = "fc"
recipe = { hidden = 16 }
"""


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "tiny.toml").write_text(TABLE)
    monkeypatch.setattr(hardattn.reproduce, "_tables", lambda: tmp_path / "tables")
    for module in (hardattn.learner, hardattn.train):
        monkeypatch.setattr(module, "CHECK_EVERY", 3)
    return tmp_path


@pytest.mark.parametrize("name", table_names())
def test_settings_name_what_there_is(name: str) -> None:
    table = read_table(name)
    assert table["dataset"] in DATASETS and len(table["rows"]) >= 4
    for row in table["rows"]:
        recipe = row.get("recipe", {})
        if "baseline" in row:
            assert row["baseline"] in BASELINES and BaselineRecipe(**recipe)
        else:
            assert METHODS[row["method"]].supervised == ("sequences" in row) and Recipe(**recipe)
    assert {row["name"] for row in table["rows"] if row.get("method") == "ram"}
    assert len({row["name"] for row in table["rows"]}) == len(table["rows"])


def test_every_row_is_trained_within_its_share_and_evaluated(tables: Path) -> None:
    said: list[str] = []
    found = reproduce("tiny", None, tables / "out", minutes=0.004, say=said.append)
    assert [row.method for row in found.rows] == ["parts, all images", "random places", "fully connected"]
    assert said[0].endswith("0.0 minutes") and len(said) == 3
    for row in found.rows:
        assert 0 <= row.error_percent <= 100 and row.iterations % 3 == 0 < row.parameters
        assert row.mflops > 0
    looking = [row for row in found.rows if row.glimpses]
    assert found.chosen is min(looking, key=lambda row: row.validation_percent) and len(looking) == 2
    again = reproduce("tiny", None, tables / "out", minutes=0.004, say=said.append)
    assert again == found  # what is done is not done again


def test_the_command_line(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["tiny", "--minutes", "0.004", "--run", str(tables / "out"), "--row", "random"]
    monkeypatch.setattr(main.commands["reproduce"].params[0], "type", click.STRING)  # else of known names
    machine = CliRunner().invoke(main, ["reproduce", *options, "--json"])
    assert machine.exit_code == 0, machine.output
    found = json.loads(machine.stdout)
    assert set(found) == {"name", "rows", "error_percent", "published_error_percent", "minutes"}
    assert found["rows"][0]["method"] == "random places" and found["published_error_percent"] == 50.0
    human = CliRunner().invoke(main, ["reproduce", *options])
    assert "chosen on validation: random places" in human.stdout


def row(name: str, validation: float, *, glimpses: bool = True) -> Row:
    return Row(name, 2 * validation, None, validation, 1.0, 100, 0, 1.0, 1000, glimpses)


def test_the_row_is_chosen_on_validation_among_those_with_glimpses() -> None:
    rows = [row("a", 3.0), row("b", 2.0), row("cnn", 1.0, glimpses=False)]
    found = Reproduction("made-up", rows, 2.5, 1.0)
    assert found.chosen.method == "b" and found.to_json()["error_percent"] == 4.0
    assert "chosen on validation: b, 4.00 % error, published 2.50" in as_text(found)


@pytest.mark.parametrize(
    ("name", "minutes", "only"), [("big", 1.0, ""), ("tiny", 0.0, ""), ("tiny", 1.0, "zebra")]
)
def test_what_cannot_be_is_refused(tables: Path, name: str, minutes: float, only: str) -> None:
    with pytest.raises(SettingsError, match="expected .*, found|; found"):
        reproduce(name, None, tables / "out", minutes=minutes, only=only)
    assert not (tables / "out").exists()
