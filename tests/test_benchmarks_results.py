"""Files of results, what they depend on, and the tables that pages have of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks.results import command as results
from benchmarks.results.command import BLOCK, DOCS, RESULTS, excused, filled, known, made, pages, stale
from benchmarks.results.dependence import digests, meaning
from benchmarks.results.experiments import EXPERIMENTS, Experiment
from benchmarks.results.pictures import PICTURES, drawn, is_shown
from benchmarks.results.tables.registry import TABLES
from data.errors import SettingsError

ROW = {
    "method": "600 designs, cluttered, 6 of 12 x 12, 3 scales",
    "way": "600 designs",
    "error_percent": 10.0,
    "published_error_percent": 12.5,
    "iterations": 1500,
    "best_epoch": 3.0,
    "mflops": 2.0,
    "seconds": 60.0,
    "made_in": 5.0,
    "seed": 0,
    "run": "/somewhere/else",
    "coverage": [{"step": step, "share": 0.5, "random": 0.2, "central": 0.4} for step in (1, 2)],
}
COMMIT = "c" * 40


def test_pages_have_the_tables_of_the_files() -> None:
    for page in pages():
        assert filled(page.read_text(), known()) == page.read_text(), "python -m benchmarks.results --tables"


@pytest.mark.parametrize("name", sorted(PICTURES.keys() & known()))
def test_a_picture_shows_the_figures_of_its_file(name: str) -> None:
    assert is_shown(known()[name], DOCS / f"{name}.png"), "python -m benchmarks.results --tables"


def test_a_picture_knows_what_it_shows(tmp_path: Path) -> None:
    def draw(_: object, path: Path) -> None:
        Image.new("RGB", (3, 3)).save(path)

    picture, found = tmp_path / "one.png", {"about": {}, "rows": [1]}
    assert not is_shown(found, picture)
    drawn(found, draw, picture)
    assert is_shown(found, picture) and is_shown({**found, "about": {"date": "today"}}, picture)
    assert not is_shown({**found, "rows": [2]}, picture)


def test_every_table_of_a_page_is_known_and_filled() -> None:
    blocks = [match for page in pages() for match in BLOCK.finditer(page.read_text())]
    assert len(blocks) > 1
    for match in blocks:
        assert match[2] in TABLES and match[2].split(":")[0] in known(), f"{match[2]} has no file of results"
    assert set(known()) <= {match[2].split(":")[0] for match in blocks}  # no file that no page shows


@pytest.mark.parametrize("name", known())
def test_a_file_is_of_its_experiment_and_of_the_code_there_is(name: str) -> None:
    about = known()[name]["about"]
    assert about["command"] == EXPERIMENTS[name].told and len(about["commit"]) == 40
    assert stale(name, known()[name]) == [], (
        f"code that docs/results/{name}.json depends on has changed: `python -m benchmarks.results {name}` "
        "makes it again; where the change cannot change a figure, `--same-because REASON` says so in the page"
    )
    assert '"/' not in (RESULTS / f"{name}.json").read_text()  # no place of somebody's machine


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_an_experiment_depends_on_is_there(name: str) -> None:
    assert EXPERIMENTS[name].depends and name in {table.split(":")[0] for table in TABLES}
    empty = digests(("no.such.module",))["no.such.module"]
    assert empty not in digests(EXPERIMENTS[name].depends).values()


def test_comments_and_docstrings_make_no_result_stale_and_code_does() -> None:
    said = 'def f(x):\n    """Doubles.\n\n    >>> f(1)\n    2\n    """\n    # twice\n    return (2 * x)\n'
    assert meaning(said) == meaning("def f(x): return 2 * x") != meaning("def f(x): return 3 * x")


def test_a_reason_makes_stale_results_count_until_the_code_changes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = {"boed.search": "old"}
    monkeypatch.setattr(results, "EXPERIMENTS", {"one": Experiment("boed fit", ("boed.search",))})
    monkeypatch.setattr(results, "digests", lambda depends: {name: code[name] for name in depends})
    found: dict[str, Any] = {"about": {"modules": {"boed.search": "old"}}, "rows": []}
    assert stale("one", found) == []
    code["boed.search"] = "new"
    assert stale("one", found) == ["boed.search"]
    found = excused("one", found, "names alone")
    assert stale("one", found) == [] and found["about"]["kept"][0]["because"] == "names alone"
    code["boed.search"] = "newer"
    assert stale("one", found) == ["boed.search"]


@pytest.mark.parametrize("name", ["case-study", "recurrent-glimpsenet"])
def test_a_table_has_every_seed_and_where_it_comes_from(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = {"rows": [ROW, ROW | {"seed": 1, "error_percent": 20.0}]}

    def run(asked: list[str], **_: Any) -> Any:
        assert asked[0] == "git" or {"--json", "all/mnist"} <= set(asked)
        answer = COMMIT if asked[1] == "rev-parse" else ""
        return type(
            "Done", (), {"returncode": 0, "stdout": answer if asked[0] == "git" else json.dumps(printed)}
        )

    monkeypatch.setattr("benchmarks.results.command.subprocess.run", run)
    monkeypatch.setattr("benchmarks.results.command.digests", lambda depends, commit: {})
    found = made(EXPERIMENTS[name], Path("all"), Path("kept"), None)
    assert "run" not in found["rows"][0] and found["about"]["seeds"] == [0, 1]
    assert found["about"]["seconds"] == 120
    text = filled(f"<!-- results: {name} -->\n<!-- end of results -->", {name: found})
    assert "10.00" in text and "20.00" in text and "12.50" in text and EXPERIMENTS[name].told in text
    assert filled(text, {name: found}) == text


def test_what_is_no_commit_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected a commit of this repository, found 'nonsense'"):
        made(EXPERIMENTS["demo"], Path("all"), Path("kept"), "nonsense")


def test_a_table_without_its_file_is_left_alone() -> None:
    page = "<!-- results: case-study -->\nwritten before\n<!-- end of results -->"
    assert filled(page, {}) == page


def test_results_are_of_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        results, "_git", lambda *words: " M boed/designs.py" if words[0] == "status" else COMMIT
    )
    refused = CliRunner().invoke(results.main, ["case-study"])
    assert refused.exit_code == 2 and "boed/designs.py; commit them first" in refused.stderr
