"""Files of results, and the tables that pages have of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.result_tables import TABLES
from benchmarks.results import EXPERIMENTS, PAGES, RESULTS, filled, known, made

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


def test_pages_have_the_tables_of_the_files() -> None:
    for page in PAGES.rglob("*.md"):
        assert filled(page.read_text(), known()) == page.read_text(), "python -m benchmarks.results --tables"


def test_every_file_is_of_an_experiment_and_stands_in_a_page() -> None:
    pages = "".join(page.read_text() for page in PAGES.rglob("*.md"))
    assert set(known()) <= set(EXPERIMENTS) == set(TABLES)
    for name, found in known().items():
        assert f"<!-- results: {name} -->" in pages
        assert found["about"]["command"] == EXPERIMENTS[name] and len(found["about"]["commit"]) == 40
        assert '"/' not in (RESULTS / f"{name}.json").read_text()  # no place of somebody's machine


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_every_seed_and_where_it_comes_from(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = {"rows": [ROW, ROW | {"seed": 1, "error_percent": 20.0}]}

    def run(asked: list[str], **_: Any) -> Any:
        assert asked[0] == "git" or {"--json", "--data-root"} <= set(asked)
        return type("Done", (), {"stdout": "c" * 40 if asked[0] == "git" else json.dumps(printed)})

    monkeypatch.setattr("benchmarks.results.subprocess.run", run)
    found = made(name, ["--data-root", "DIR"])
    assert "run" not in found["rows"][0] and found["about"]["seeds"] == [0, 1]
    assert found["about"]["seconds"] == 120
    text = filled(f"<!-- results: {name} -->\n<!-- end of results -->", {name: found})
    assert "10.00" in text and "20.00" in text and "12.50" in text and EXPERIMENTS[name] in text
    assert filled(text, {name: found}) == text


def test_a_table_without_its_file_is_left_alone(tmp_path: Path) -> None:
    page = "<!-- results: case-study -->\nwritten before\n<!-- end of results -->"
    assert filled(page, {}) == page
