"""Commands that are killed are taken up with the same result; and the benchmark sees it when they are not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch
from store_tiny import IDS, fill, open_store

from benchmarks.survival import command as survival
from benchmarks.survival.command import Life, known_lives, shared
from benchmarks.survival.commands import COMMANDS, write_settings
from benchmarks.survival.files import contents, damaged, rows_done

ROOT = Path(__file__).resolve().parents[1]


def survive(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.survival", "--out", str(out), *words],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_few_kills_are_survived_and_noted(tmp_path: Path) -> None:
    done = survive(tmp_path, "--kills", "3", "--only", "generate")
    assert done.returncode == 0, done.stdout + done.stderr
    (note,) = tmp_path.glob("lives-*.jsonl")
    lives = known_lives(note)
    assert sum(life.kills for life in lives) == sum(life.survived for life in lives) == 3
    assert all(life.equal for life in lives)
    assert f"| generate | 3     | 3        | {len(lives)}     | {len(lives)}             |" in done.stdout


def test_what_is_lost_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = Life("fit", 0, 2, 1, False, ["a has other bytes"])
    monkeypatch.setattr(survival, "survive", lambda *_, **__: [trouble])
    with pytest.raises(SystemExit, match="fit, life 0: a has other bytes"):
        survival.main(["--only", "fit"], standalone_mode=False)
    assert Life(**json.loads(json.dumps(trouble.__dict__))) == trouble


def test_stores_are_the_same_but_for_how_long_they_took(tmp_path: Path) -> None:
    for name, seconds in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        store = open_store(tmp_path / name / "s.h5")
        fill(store, torch.arange(2))
        store.add_seconds(seconds, 2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != {}
    assert len(rows_done(tmp_path / "a")) == 2
    with h5py.File(tmp_path / "b" / "s.h5", "r+") as file:
        file["epe"][0] = 0
    assert contents(tmp_path / "a") != contents(tmp_path / "b")
    assert rows_done(tmp_path / "a")["s.h5", int(IDS[1])] == rows_done(tmp_path / "b")["s.h5", int(IDS[1])]
    assert rows_done(tmp_path / "a") != rows_done(tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", "{"),
        ("a.safetensors", "x"),
        ("s.h5", "x"),
        ("curve.png", "x"),
        ("log.jsonl", "{\n{}\n"),
        ("lives.jsonl", "{}\n{"),
    ],
)
def test_what_cannot_be_opened_is_found(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert [each.split()[0] for each in damaged(tmp_path)] == [name]
    for partial in (f"{name}.new", ".lock"):
        (tmp_path / name).rename(tmp_path / partial)
        assert damaged(tmp_path) == []
        (tmp_path / partial).rename(tmp_path / name)


def test_half_a_line_at_the_end_of_a_log_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{}\n{"iter')
    assert damaged(tmp_path) == []


def test_all_kills_are_spread_over_all_commands(tmp_path: Path) -> None:
    assert sum(shared(100, list(COMMANDS)).values()) == 100
    assert {"fit", "generate", "train", "frontier", "reproduce"} == set(COMMANDS)
    assert [path.name for path in write_settings(tmp_path).iterdir()] == ["tiny.toml"]
