"""Barely trained runs on the embedded digits, for the tests of `hardattn report`."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from hardattn.cli import main

COMMANDS = {
    "epe-head-0": ["--method", "epe-head"],
    "gauss-0": ["--policy", "gaussian", "--scales", "2", "--name", "gauss", "--reward", "final=0.5"],
    "random-0": ["--method", "random", "--no-augment"],
    "fc-0": ["--baseline", "fc", "--hidden", "16"],
}


def digits_runs(folder: Path) -> dict[str, Path]:
    """Label -> run folder: an EPE map, a Gaussian policy, random places, and the whole image."""
    for label, options in COMMANDS.items():
        glimpses = [] if label == "fc-0" else ["--glimpses", "2"]
        common = ["train", "--run", str(folder), "--epochs", "0.04", "--device", "cpu", *glimpses]
        done = CliRunner().invoke(main, [*common, *options])
        assert done.exit_code == 0, done.output
    return {label: folder / f"hardattn-{label}" for label in COMMANDS}
