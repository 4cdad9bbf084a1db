"""Designs in shards, by several processes or machines, are to the byte those of one process."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from boed_tiny import pointer_dataset

import boed.generation
from boed.approximations import Approximations
from boed.search.designer import Designer
from boed.stored_designs import store_designs
from data.errors import SettingsError, StoreError
from data.shards import Shard
from supervision.merging import merge
from supervision.store import SequenceStore

OWN = (0.0, 1.0, 1.0)  # weights with which a design follows an image's own maps


@pytest.fixture(autouse=True)
def _timeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands still, as how long it took is in a store too; and small blocks."""
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    monkeypatch.setattr(boed.generation, "BLOCK", 7)


@pytest.fixture
def designer(pointer_fit: Approximations) -> Designer:
    return Designer(replace(pointer_fit, weights=OWN))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stored(path: Path, designer: Designer, **options: Any) -> Path:
    store_designs(path, designer, pointer_dataset(), **options)
    return path


def sharded(folder: Path, designer: Designer, of: int, **options: Any) -> list[Path]:
    every = [Shard(number, of) for number in range(1, of + 1)]
    return [stored(folder / shard.file, designer, shard=shard, **options) for shard in every]


@pytest.mark.parametrize(
    ("source", "split"), [("design", "design"), ("random", "design"), ("design", "train")]
)
def test_merged_shards_have_the_bytes_of_a_single_process(
    tmp_path: Path, designer: Designer, source: str, split: str
) -> None:
    options: dict[str, Any] = {"source": source, "split": split, "images": 40}
    whole = stored(tmp_path / "whole.h5", designer, **options)
    merge(sharded(tmp_path / "shards", designer, 3, **options), tmp_path / "merged.h5")
    assert digest(tmp_path / "merged.h5") == digest(whole)
    before = digest(whole)
    assert digest(stored(tmp_path / "merged.h5", designer, **options)) == before  # nothing is left to do


def test_an_interrupted_shard_ends_with_the_same_bytes(
    tmp_path: Path, designer: Designer, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = stored(tmp_path / "straight.h5", designer, shard=Shard(1, 2))
    write = SequenceStore.write

    def interrupted(self: SequenceStore, rows: Any, sequences: Any) -> None:
        write(self, rows, sequences)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SequenceStore, "write", interrupted)
        stored(tmp_path / "resumed.h5", designer, shard=Shard(1, 2))
    assert SequenceStore.read(tmp_path / "resumed.h5").done.sum() == 7
    other = stored(tmp_path / "other.h5", designer, shard=Shard(2, 2))
    with pytest.raises(StoreError, match=r"expected a finished shard 1/2, found 7 of 25 .* --shard again"):
        merge([tmp_path / "resumed.h5", other], tmp_path / "merged.h5")
    assert digest(stored(tmp_path / "resumed.h5", designer, shard=Shard(1, 2))) == digest(straight)


def test_other_approximations_and_seeds_are_not_merged(
    tmp_path: Path, designer: Designer, pointer_fit: Approximations
) -> None:
    one, _ = sharded(tmp_path / "shards", designer, 2, images=4)
    other = Designer(replace(pointer_fit, weights=(0.0, 0.5, 1.0)))
    path = stored(tmp_path / "other.h5", other, images=4, shard=Shard(2, 2))
    with pytest.raises(
        StoreError, match=r'other.h5 with approximations = "\w+" as in .*, found "\w+"; merge'
    ):
        merge([one, path], tmp_path / "merged.h5")
    fewer = Designer(designer.learned, completions=7)
    path = stored(tmp_path / "fewer.h5", fewer, images=4, shard=Shard(2, 2))
    with pytest.raises(StoreError, match=r'with design = .*"completions": 100.* found .*"completions": 7'):
        merge([one, path], tmp_path / "merged.h5")


def test_a_shard_without_images_is_refused(tmp_path: Path, designer: Designer) -> None:
    with pytest.raises(SettingsError, match="at most 2 shards of 2 images, found shard 3/3"):
        stored(tmp_path / "a.h5", designer, images=2, shard=Shard(3, 3))
