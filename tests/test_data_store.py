import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from data.dataset import DataSet, Split
from data.errors import DataError
from data.geometry import Geometry
from data.store import CHUNK, ImageStore, cached_store, threaded

COUNT, SHAPE = 2 * CHUNK + 10, (4, 5, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)
IDS, LABELS = np.arange(COUNT) * 3, np.arange(COUNT) % 7


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOED_CACHE", str(tmp_path))
    return tmp_path


def store_of(decode: Callable[[range], Iterator[np.ndarray]], key: str = "key") -> ImageStore:
    return cached_store(key, SHAPE, IDS, LABELS, decode, title="test")


def recording(seen: list[int], fail_at: int = -1) -> Callable[[range], Iterator[np.ndarray]]:
    def decode(row: int) -> np.ndarray:
        if row == fail_at:
            raise KeyboardInterrupt
        seen.append(row)
        return np.asarray(IMAGES[row])

    return threaded(decode)


@pytest.mark.parametrize("fail_at", [3, CHUNK + 5, COUNT - 1])
def test_interrupted_decoding_goes_on_where_it_stopped(cache: Path, fail_at: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        store_of(recording([], fail_at))
    again: list[int] = []
    store = store_of(recording(again))
    assert sorted(again) == list(range(fail_at // CHUNK * CHUNK, COUNT))
    assert store.fingerprint == ImageStore.from_arrays(IMAGES, LABELS, IDS).fingerprint
    assert np.array_equal(store.images.numpy(), IMAGES)


def test_a_finished_store_is_not_decoded_again(cache: Path) -> None:
    seen: list[int] = []
    first = store_of(recording([]))
    second = store_of(recording(seen))
    assert seen == []
    for name in ("images", "labels", "ids"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert first.fingerprint == second.fingerprint
    assert second.labels.shape == (COUNT, 1)


def test_another_key_is_another_store(cache: Path) -> None:
    seen: list[int] = []
    store_of(recording([]))
    store_of(recording(seen, -1), key="other")
    assert len(seen) == COUNT


def test_a_store_without_images_is_empty(cache: Path) -> None:
    none = np.zeros(0, np.int64)
    assert len(cached_store("none", SHAPE, none, none, recording([]), title="none").ids) == 0


def test_images_of_a_wrong_shape_or_number_are_no_store(cache: Path) -> None:
    with pytest.raises(ValueError, match="broadcast"):
        store_of(lambda rows: iter(np.zeros((len(rows), 9, 9, 3), np.uint8)))
    with pytest.raises(ValueError, match="shorter"):
        store_of(lambda rows: iter(IMAGES[:2]))
    assert not list(cache.rglob("store.json"))


def test_fingerprint_changes_with_one_byte_one_label_one_id() -> None:
    prints = {ImageStore.from_arrays(IMAGES, LABELS, IDS).fingerprint}
    for n in range(3):
        images, labels, ids = arrays = (IMAGES.copy(), LABELS.copy(), IDS.copy())
        np.asarray(arrays[n]).reshape(-1)[-1] ^= 1
        prints.add(ImageStore.from_arrays(images, labels, ids).fingerprint)
    assert len(prints) == 4


def test_fingerprint_does_not_depend_on_memory_layout() -> None:
    column_major = np.asfortranarray(IMAGES)
    assert (
        ImageStore.from_arrays(column_major, LABELS, IDS).fingerprint
        == ImageStore.from_arrays(IMAGES, LABELS, IDS).fingerprint
    )


def test_store_json_holds_the_fingerprint(cache: Path) -> None:
    store = store_of(recording([]))
    (path,) = cache.rglob("store.json")
    assert json.loads(path.read_text()) == {"fingerprint": store.fingerprint}


def test_splits_are_opened_once_and_only_when_asked_for() -> None:
    opened: list[str] = []

    def split(name: str, count: int) -> Callable[[], Split]:
        def opener() -> Split:
            opened.append(name)
            return Split.of(ImageStore.from_arrays(IMAGES[:count], LABELS[:count], IDS[:count]))

        return opener

    openers = {"train": split("train", 4), "test": split("test", 0)}
    made = DataSet("made-up", "label", ("a", "b"), Geometry(4, 5, 3, 2), 2, openers)
    assert opened == []
    assert made["train"] is made["train"]
    assert opened == ["train"]
    assert made.fingerprint("train") == made.fingerprint("train")
    with pytest.raises(DataError, match="expected images in the test split of made-up, found none"):
        made["test"]


def test_a_split_moves_to_a_device_and_back() -> None:
    split = Split.of(ImageStore.from_arrays(IMAGES[:2], LABELS[:2], IDS[:2]))
    assert split.to("cpu") is split
    assert split.to("meta").images.device.type == "meta"


@pytest.mark.parametrize("name", ["images.npy", "store.json"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00v\x00{(", b"[" * 100_000, b'{"fingerprint": 3}'])
def test_a_damaged_cache_is_refused(cache: Path, name: str, content: bytes) -> None:
    store_of(recording([]))
    (path,) = cache.glob(f"*/{name}")
    path.write_bytes(content)
    with pytest.raises(DataError, match="found them damaged .*remove that folder"):
        store_of(recording([]))


def test_a_damaged_beginning_is_decoded_again(cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        store_of(recording([], fail_at=COUNT - 1))
    (progress,) = cache.glob("*/done.txt")
    progress.write_text("x")
    again: list[int] = []
    assert np.array_equal(store_of(recording(again)).images.numpy(), IMAGES) and len(again) == COUNT
