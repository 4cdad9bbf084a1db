"""Designs in shards, by several processes or machines, are to the byte those of one process."""

import hashlib
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import pointer_dataset
from engines_tiny import Killed

import boed.generation
from boed.approximations import Approximations
from boed.designs import design
from boed.engines.engine import Engine
from boed.engines.local import Local
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


class Backwards(Engine):
    """Does the last thing first, in this process.

    Args:
        lost: after how many things the process that calls is interrupted.

    Attributes:
        images: that were designed for.
    """

    here = True

    def __init__(self, lost: int | None = None) -> None:
        self.lost, self.images = lost, list[int]()

    def __call__(
        self, work: Callable[[Any], Any], things: Iterable[Any]
    ) -> Generator[tuple[int, Any], None, None]:
        for count, (number, thing) in enumerate(reversed(list(enumerate(things)))):
            if count == self.lost:
                raise KeyboardInterrupt
            self.images += thing.ids.tolist()
            yield number, work(thing)


class OneKilled(Engine):
    """Two processes, of which one is killed in the middle.

    Args:
        folder: one file for each thing that was begun.
    """

    here = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, work: Callable[[Any], Any], things: Iterable[Any]
    ) -> Generator[tuple[int, Any], None, None]:
        return Local(2)(Killed(work, self.folder), things)


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


def test_two_processes_of_which_one_is_killed_write_the_bytes_of_a_single_one(
    tmp_path: Path, designer: Designer
) -> None:
    (tmp_path / "begun").mkdir()
    whole = stored(tmp_path / "whole.h5", designer)
    spread = stored(tmp_path / "spread.h5", designer, engine=OneKilled(tmp_path / "begun"))
    assert (tmp_path / "killed").exists() and len(list((tmp_path / "begun").iterdir())) > 8
    assert digest(spread) == digest(whole)


def test_whole_blocks_are_not_made_again(tmp_path: Path, designer: Designer) -> None:
    whole, parts = stored(tmp_path / "whole.h5", designer), tmp_path / "parts.h5"
    first, second = Backwards(lost=3), Backwards()
    with pytest.raises(KeyboardInterrupt):
        stored(parts, designer, engine=first)
    assert SequenceStore.read(parts).done.sum() == len(first.images) == 15  # the last block has one image
    stored(parts, designer, engine=second)
    assert sorted(first.images + second.images) == SequenceStore.read(parts).ids.tolist()
    assert digest(parts) == digest(whole)


def test_designs_in_memory_do_not_depend_on_what_is_finished_first(pointer_fit: Approximations) -> None:
    learned, split = replace(pointer_fit, weights=OWN), pointer_dataset()["design"]
    one, other = design(learned, split), design(learned, split, engine=Backwards())
    assert torch.equal(one.places, other.places) and torch.equal(one.epe_map, other.epe_map)
    assert torch.equal(one.epe, other.epe) and torch.equal(one.entropy, other.entropy)


def test_a_gpu_is_not_shared_by_processes(tmp_path: Path, pointer_fit: Approximations) -> None:
    elsewhere = Designer(replace(pointer_fit, places=pointer_fit.places.to("meta")))
    sink = SequenceStore.write_to(tmp_path / "a.h5", {}, torch.arange(3), 3, pointer_fit.places)
    with pytest.raises(SettingsError, match="--device cpu for designs by several workers, found meta"):
        boed.generation.generate(elsewhere, pointer_dataset()["design"], sink, glimpses=3, engine=Local(2))
