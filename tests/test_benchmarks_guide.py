"""The benchmark of the guide: both trainings are the same but for Pyro."""

import copy
from pathlib import Path

import torch
from click.testing import CliRunner

from benchmarks.guide_cost import as_guide, bare, main
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from data import load


def test_both_trainings_have_the_same_result(tmp_path: Path) -> None:
    digits = load("digits")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = GlimpseSetPosterior((1, 8, 8), 10, 5, 16)
        one, other = copy.deepcopy(start), copy.deepcopy(start)
        as_guide(one, digits, 10, tmp_path / "guide")
        bare(other, digits, 10, tmp_path / "bare")
    for name, value in one.state_dict().items():
        assert torch.allclose(value, other.state_dict()[name], atol=1e-4), name
    assert max((a - b).abs().max() for a, b in zip(one.parameters(), start.parameters(), strict=True)) > 1e-2


def test_a_row_for_each_and_the_difference() -> None:
    found = CliRunner().invoke(main, ["--rounds", "1", "--iterations", "1"])
    assert found.exit_code == 0, found.output
    assert [line.split()[0] for line in found.output.splitlines()[-3:]] == ["guide", "bare", "slower"]
