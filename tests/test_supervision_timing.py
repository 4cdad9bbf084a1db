"""Seconds beside a store."""

from pathlib import Path

import pytest

from supervision.timing import add_seconds, seconds_per_sequence


def test_seconds_add_up_over_calls(tmp_path: Path) -> None:
    store = tmp_path / "sequences.h5"
    assert seconds_per_sequence(store) is None
    add_seconds(store, 2.0, 10)
    add_seconds(store, 4.0, 10)
    assert seconds_per_sequence(store) == pytest.approx(0.3)


def test_a_run_that_made_nothing_changes_nothing(tmp_path: Path) -> None:
    store = tmp_path / "sequences.h5"
    add_seconds(store, 2.0, 0)
    assert list(tmp_path.iterdir()) == []
    add_seconds(store, 2.0, 10)
    before = (tmp_path / "sequences.h5.seconds.json").read_bytes()
    add_seconds(store, 2.0, 0)
    assert (tmp_path / "sequences.h5.seconds.json").read_bytes() == before


def test_a_damaged_file_is_no_time(tmp_path: Path) -> None:
    store = tmp_path / "sequences.h5"
    (tmp_path / "sequences.h5.seconds.json").write_text("{")
    assert seconds_per_sequence(store) is None
