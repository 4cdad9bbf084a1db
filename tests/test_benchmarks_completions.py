"""`python -m benchmarks.completions` on a made-up world."""

from pathlib import Path

import pytest
from boed_tiny import pointer_dataset
from cli_tiny import assert_refused
from click.testing import CliRunner

from benchmarks import completions, fitted
from boed.fitting.fit import fit


def test_completions_of_a_fitted_task_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row for every completion asked for; cells are error and spread, first where was looked."""
    dataset = pointer_dataset(train=60)
    monkeypatch.setattr(fitted, "load", lambda name, **options: dataset)
    missing = CliRunner().invoke(completions.main, [str(tmp_path)])
    assert_refused(missing, f"saved weights at {tmp_path}", "found none", "boed fit")
    assert not any(tmp_path.iterdir())
    fit(dataset, tmp_path / "approximations", iterations=4, width=8)
    asked = ["--completion", "gaussian", "--completion", "proposals", "--images", "9"]
    result = CliRunner().invoke(completions.main, [str(tmp_path), *asked])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("9 validation images of pointer label")
    gaussian, proposals = (line.split("|")[1:-1] for line in lines[-2:])
    assert (gaussian[0].strip(), proposals[0].strip()) == ("gaussian", "proposals")
    seen, unseen = (float(part.split()[0]) for part in gaussian[-1].split(","))
    assert seen < unseen  # it repeats what was seen better than it guesses the rest
