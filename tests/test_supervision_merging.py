"""Shards, merged, are the store that one process writes; what is not all of it, once, unhurt is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from store_tiny import CANDIDATES, SETTINGS, STEPS, fill, sequences_of

import supervision.merging
from data.dataset import split_in_memory
from data.errors import SettingsError, StoreError
from data.sample import choose_images
from data.shards import Shard
from supervision.merging import merge, seal
from supervision.store import SequenceStore

SPLIT = split_in_memory(
    torch.zeros(11, 4, 4, 1, dtype=torch.uint8).numpy(),
    torch.zeros(11, dtype=torch.int64).numpy(),
    torch.arange(0, 33, 3).numpy(),
)


def store_of(
    path: Path,
    shard: Shard | None = None,
    images: int = 11,
    settings: dict[str, Any] = SETTINGS,
    origin: dict[str, Any] | None = None,
    **others: Any,
) -> SequenceStore:
    ids = choose_images(SPLIT, images, shard)
    sizes = (STEPS, CANDIDATES)
    return SequenceStore.write_to(path, settings, ids, *sizes, origin=origin, shard=shard, **others)


def made(path: Path, shard: Shard | None = None, **options: Any) -> Path:
    store = store_of(path, shard, **options)
    rows = store.pending()
    fill(store, rows)
    store.add_seconds(float(len(rows)), len(rows))
    if shard is not None:
        seal(store)
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Callable[..., list[Path]]:
    def write(of: int = 3, **options: Any) -> list[Path]:
        every = [Shard(number, of) for number in range(1, of + 1)]
        return [made(tmp_path / "shards" / shard.file, shard, **options) for shard in every]

    return write


@pytest.mark.parametrize("of", [1, 2, 3, 11])
def test_the_bytes_are_those_of_one_process(
    tmp_path: Path, shards: Callable[..., list[Path]], of: int
) -> None:
    whole = made(tmp_path / "whole.h5", origin={"name": "made-up"})
    paths = shards(of, origin={"name": "made-up"})
    merge(paths[::-1] if of == 2 else paths, tmp_path / "merged.h5")
    assert (tmp_path / "merged.h5").read_bytes() == whole.read_bytes()


def test_a_folder_stands_for_its_stores(tmp_path: Path, shards: Callable[..., list[Path]]) -> None:
    whole, paths = made(tmp_path / "whole.h5"), shards()
    for merged in (tmp_path / "merged.h5", paths[0].parent / "merged.h5"):
        merge([paths[0].parent], merged)
        merge([paths[0].parent], merged)  # once more changes nothing, beside the shards too
        assert merged.read_bytes() == whole.read_bytes()
        merged.unlink()


def test_an_interrupted_merging_is_taken_up(
    tmp_path: Path, shards: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, paths = made(tmp_path / "whole.h5"), shards()
    monkeypatch.setattr(supervision.merging, "BLOCK", 2)
    copy, copied = supervision.merging._copy, list[Path]()

    def interrupted(shard: SequenceStore, merged: SequenceStore) -> None:
        if copied:
            raise KeyboardInterrupt
        copied.append(shard.path)
        copy(shard, merged)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(supervision.merging, "_copy", interrupted)
        merge(paths, tmp_path / "merged.h5")
    assert 0 < SequenceStore.read(tmp_path / "merged.h5").done.sum() < 11
    for _ in range(2):  # and once more, when there is nothing left to do
        merge(paths, tmp_path / "merged.h5")
        assert (tmp_path / "merged.h5").read_bytes() == whole.read_bytes()


def test_shards_grow_with_the_images(tmp_path: Path, shards: Callable[..., list[Path]]) -> None:
    shards(images=4)
    paths, whole = shards(images=11), made(tmp_path / "whole.h5")
    merge(paths, tmp_path / "merged.h5")
    assert SequenceStore.read(tmp_path / "merged.h5").sequences_timed == 11
    assert (tmp_path / "merged.h5").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("of", [1, 2, 3, 8])
def test_images_are_dealt_out_fairly_and_stay_in_their_shard(of: int) -> None:
    every = [Shard(number, of) for number in range(1, of + 1)]
    for count in (8, 9, 11):
        dealt = [choose_images(SPLIT, count, shard) for shard in every]
        assert [len(ids) for ids in dealt] == [shard.size(count) for shard in every]
        assert torch.cat(dealt).sort().values.tolist() == choose_images(SPLIT, count).tolist()
        for ids, shard in zip(dealt, every, strict=True):
            assert (ids.diff() > 0).all()
            assert set(ids.tolist()) <= set(choose_images(SPLIT, None, shard).tolist())


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "a/3", "1/3/5", "-1/3", "1 / 3", ""])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"expected a shard I/N .*found .*the first of four is 1/4"):
        Shard.parse(text)


def test_more_shards_than_images_are_refused() -> None:
    with pytest.raises(SettingsError, match="expected at most 2 shards of 2 images, found shard 3/8"):
        choose_images(SPLIT, 2, Shard(3, 8))


def edited(paths: list[Path], edit: Callable[[h5py.File], object]) -> list[Path]:
    with h5py.File(paths[1], "r+") as file:
        edit(file)
    return paths


def truncate(paths: list[Path]) -> list[Path]:
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    return paths


def flip(paths: list[Path]) -> list[Path]:
    """One bit of one number in the middle of a map."""
    with h5py.File(paths[1]) as file:
        at = file["epe_map"].id.get_offset() + 9
    content = bytearray(paths[1].read_bytes())
    content[at] ^= 4
    paths[1].write_bytes(content)
    return paths


def another(paths: list[Path], **options: Any) -> list[Path]:
    paths[1].unlink()
    made(paths[1], Shard(2, 3), **options)
    return paths


REFUSED: dict[str, tuple[Callable[[list[Path]], list[Path]], str]] = {
    "one is missing": (lambda paths: [paths[0], paths[2]], "expected all 3 shards, found no 2/3; make or"),
    "two are missing": (lambda paths: paths[1:2], "expected all 3 shards, found no 1/3, 3/3"),
    "one twice": (lambda paths: [*paths, paths[0]], "expected each shard once, found 1/3 twice"),
    "another partition": (
        lambda paths: [*paths, made(paths[0].with_name("x.h5"), Shard(1, 2))],
        "expected shards of one partition, found some of 2 and of 3",
    ),
    "another image": (
        lambda paths: edited(paths, lambda file: file["image_id"].__setitem__(0, 1)),
        "expected in .*2-of-3.h5 what was written of shard 2/3, found it unfinished or damaged",
    ),
    "other images": (
        lambda paths: another(paths, images=4),
        r"expected 3 of 8 images in shard 1/3, found 4 in .*1-of-3.h5; .* same --images",
    ),
    "other settings": (
        lambda paths: another(paths, settings=SETTINGS | {"glimpses": 4}),
        r"expected .*2-of-3.h5 with glimpses = 3 as in .*1-of-3.h5, found 4; merge shards made alike",
    ),
    "other approximations": (
        lambda paths: another(paths, settings=SETTINGS | {"approximations": "beef"}),
        'with approximations = null as in .*found "beef"',
    ),
    "other software": (lambda paths: another(paths, software="older 1"), 'with software = .*found "older 1"'),
    "a whole store": (
        lambda paths: [*paths, made(paths[0].with_name("x.h5"))],
        "expected the store of a shard, found .*x.h5 of all images",
    ),
    "cut": (truncate, "2-of-3.h5 truncated or damaged"),
    "a flipped bit": (flip, "2-of-3.h5 what was written of shard 2/3, found it unfinished or damaged"),
    "unfinished": (
        lambda paths: edited(paths, lambda file: file["done"].__setitem__(2, False)),
        r"expected a finished shard 2/3, found 3 of 4 sequences in .*2-of-3.h5",
    ),
    "no store": (lambda paths: [*paths, Path("nothing.h5")], "at nothing.h5, found none"),
    "no stores": (lambda paths: [], "found none in nothing"),
    "a shard that is none": (
        lambda paths: edited(paths, lambda file: file.attrs.__setitem__("shard", "5/3")),
        "2-of-3.h5 without its parts .expected a shard I/N",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_all_of_it_once_and_unhurt_is_refused_and_nothing_is_written(
    tmp_path: Path,
    shards: Callable[..., list[Path]],
    change: Callable[[list[Path]], list[Path]],
    message: str,
) -> None:
    paths = change(shards())
    with pytest.raises(StoreError, match=message):
        merge(paths, tmp_path / "merged.h5")
    assert not list(tmp_path.glob("merged*"))


def test_images_that_two_shards_have_are_refused(tmp_path: Path) -> None:
    """Which cannot come from `choose_images`, but from files that were renamed or written by others."""
    paths = []
    for number in (1, 2):
        path = tmp_path / f"{number}.h5"
        store = SequenceStore.write_to(
            path, SETTINGS, torch.tensor([1, 2]), STEPS, CANDIDATES, shard=Shard(number, 2)
        )
        store.write(torch.arange(2), sequences_of(store.ids))
        seal(store)
        paths.append(path)
    with pytest.raises(StoreError, match=r"image 1 in .*1.h5 and in .*2.h5"):
        merge(paths, tmp_path / "merged.h5")


def test_a_shard_is_no_place_for_another_or_for_all(tmp_path: Path) -> None:
    store_of(tmp_path / "a.h5", Shard(2, 3))
    before = (tmp_path / "a.h5").read_bytes()
    for shard, told in ((Shard(2, 4), "shard 2/4"), (None, "all images")):
        with pytest.raises(
            StoreError, match=f"expected .*a.h5 for {told}, found it for shard 2/3; use anoth"
        ):
            store_of(tmp_path / "a.h5", shard)
    assert (tmp_path / "a.h5").read_bytes() == before


def test_other_sequences_are_not_merged_into(tmp_path: Path, shards: Callable[..., list[Path]]) -> None:
    made(tmp_path / "merged.h5", settings=SETTINGS | {"glimpses": 4})
    before = (tmp_path / "merged.h5").read_bytes()
    with pytest.raises(StoreError, match="with glimpses = 3, found 4"):
        merge(shards(), tmp_path / "merged.h5")
    assert (tmp_path / "merged.h5").read_bytes() == before
