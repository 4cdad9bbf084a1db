import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from data.canvas import REGIONS
from data.dataset import SPLITS
from data.errors import DataError, SettingsError
from data.mnist import VARIANTS, load_mnist, read_idx

COUNTS = {"train": 240, "t10k": 30}


def packed_bytes(data: bytes) -> bytes:
    """Gzipped, the same whenever that is done: names of tests hold it."""
    return gzip.compress(data, mtime=0)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_part(folder: Path, part: str, packed: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(COUNTS[part])
    images = generator.integers(1, 256, (COUNTS[part], 28, 28), dtype=np.uint8)
    labels = generator.integers(0, 10, COUNTS[part], dtype=np.uint8)
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        name = f"{part}-{kind}-ubyte"
        if packed:
            (folder / f"{name}.gz").write_bytes(packed_bytes(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in COUNTS:
        write_part(tmp_path / "MNIST" / "raw", part)
    return tmp_path


@pytest.mark.parametrize("variant", VARIANTS)
def test_splits_are_disjoint_complete_and_numbered_as_in_the_file(root: Path, variant: str) -> None:
    opened = load_mnist(root, variant)
    ids = {split: opened[split].ids for split in SPLITS}
    assert [len(ids[split]) for split in SPLITS] == [8, 212, 20, 30]
    apart = torch.cat([ids["design"], ids["train"], ids["valid"]])
    assert torch.equal(apart.sort().values, torch.arange(240))
    labels = torch.from_numpy(read_idx(root / "MNIST/raw/train-labels-idx1-ubyte.gz").astype(np.int64))
    for split in ("design", "train", "valid"):
        assert torch.equal(ids[split], ids[split].sort().values)
        assert torch.equal(opened[split].labels, labels[ids[split]])


def test_plain_images_are_those_of_the_file(root: Path) -> None:
    train = load_mnist(root, "mnist")["train"]
    images = torch.from_numpy(read_idx(root / "MNIST/raw/train-images-idx3-ubyte.gz").copy())
    assert torch.equal(train.images[..., 0], images[train.ids])


def test_translated_digits_are_whole_and_alone(root: Path) -> None:
    plain, moved = (load_mnist(root, variant)["valid"].images for variant in ("mnist", "translated-mnist"))
    assert moved.shape == (20, 60, 60, 1)
    assert torch.equal(moved.long().sum((1, 2, 3)), plain.long().sum((1, 2, 3)))
    corners = (moved[..., 0] > 0).flatten(1).int().argmax(1)
    assert len(corners.unique()) > 15
    for canvas, digit, corner in zip(moved[..., 0], plain[..., 0], corners.tolist(), strict=True):
        row, col = divmod(corner, 60)  # the made-up digits have no dark pixel
        assert torch.equal(canvas[row : row + 28, col : col + 28], digit)


@pytest.mark.parametrize("variant", ["translated-mnist", "cluttered-mnist"])
def test_regions_part_the_places_of_digits(root: Path, variant: str) -> None:
    """On a canvas of 60 a digit has 33 places in each axis, of which 8 to 24 are inner."""
    corners = {}
    for region in REGIONS:
        opened = load_mnist(root, variant, region=region)
        boxes = [opened[split].boxes for split in SPLITS]
        corners[region] = torch.cat([found[:, :2] for found in boxes if found is not None])
    inside = {region: ((c >= 8) & (c <= 24)).all(1) for region, c in corners.items()}
    assert bool(inside["inner"].all()) and not bool(inside["outer"].any())
    assert 0 < inside["all"].float().mean() < 1
    assert corners["outer"].amin() < 4 and corners["outer"].amax() > 28
    for found in corners.values():  # every one spreads over its places
        assert len(found.unique(dim=0)) > 100


@pytest.mark.parametrize("variant", ["translated-mnist", "cluttered-mnist"])
def test_training_digits_can_be_placed_several_times(root: Path, variant: str) -> None:
    """The first placement is the only one of before; others show the same digit elsewhere; tests have one."""
    once, thrice = load_mnist(root, variant), load_mnist(root, variant, placements=3)
    one, three = once["train"], thrice["train"]
    count = len(one)
    assert len(three) == 3 * count and bool((three.ids.diff() > 0).all())
    assert torch.equal(three.images[:count], one.images) and torch.equal(three.ids[:count], one.ids)
    assert torch.equal(three.labels, one.labels.repeat(3))
    assert three.groups is not None and torch.equal(three.groups, one.ids.repeat(3))
    assert three.boxes is not None and one.boxes is not None
    assert not torch.equal(three.boxes[count : 2 * count], one.boxes)
    for split in ("design", "valid", "test"):
        assert once[split].fingerprint == thrice[split].fingerprint
    with pytest.raises(SettingsError, match="expected 1 placement .* found 0 of"):
        load_mnist(root, variant, placements=0)
    with pytest.raises(SettingsError, match="found 2 of mnist"):
        load_mnist(root, "mnist", placements=2)


def test_a_region_needs_room_and_a_name(root: Path) -> None:
    with pytest.raises(SettingsError, match="expected a region of all, inner, outer; found 'middle'"):
        load_mnist(root, "translated-mnist", region="middle")
    with pytest.raises(SettingsError, match="expected a canvas with room .*, found 3 places"):
        load_mnist(root, "translated-mnist", canvas=30, region="outer")


def test_clutter_adds_light_and_no_more_than_four_pieces(root: Path) -> None:
    cluttered = load_mnist(root, "cluttered-mnist", canvas=100)["train"].images
    lit = (cluttered > 0).sum((1, 2, 3))
    assert cluttered.shape[1:] == (100, 100, 1)
    assert lit.float().mean() > 28 * 28
    assert lit.min() >= 28 * 28
    assert lit.max() <= 28 * 28 + 4 * 64


def test_a_canvas_depends_on_seed_split_and_id_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def design(place: str, seed: int) -> tuple[str, torch.Tensor]:
        monkeypatch.setenv("BOED_CACHE", str(root / place))  # so that nothing is read back
        opened = load_mnist(root, "cluttered-mnist", seed=seed)
        if place == "second":
            opened["test"], opened["train"]
        return opened["design"].fingerprint, opened["design"].images

    first, again, other = design("first", 0), design("second", 0), design("third", 1)
    assert first[0] == again[0] != other[0]
    assert torch.equal(first[1], again[1])


def test_changed_files_are_not_answered_from_the_cache(root: Path) -> None:
    before = load_mnist(root, "translated-mnist")["test"]
    path = root / "MNIST/raw/t10k-labels-idx1-ubyte.gz"
    path.write_bytes(packed_bytes(idx((read_idx(path) + 1) % 10)))
    after = load_mnist(root, "translated-mnist")["test"]
    assert after.fingerprint != before.fingerprint
    assert torch.equal(after.labels, (before.labels + 1) % 10)


@pytest.mark.parametrize("folder", ["MNIST/raw", "raw", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_test_files_alone_give_the_test_split(tmp_path: Path, folder: str, packed: bool) -> None:
    write_part(tmp_path / folder, "t10k", packed)
    opened = load_mnist(tmp_path, "translated-mnist")
    assert len(opened["test"]) == 30
    with pytest.raises(DataError, match=r"expected the file .*train-images-idx3-ubyte\.gz"):
        opened["train"]


def test_missing_root_and_empty_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no folder .*absent; set --data-root"):
        load_mnist(tmp_path / "absent")
    with pytest.raises(DataError, match="found none of them; set --data-root"):
        load_mnist(tmp_path)


WHOLE = idx(np.zeros((30, 28, 28), np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed_bytes(WHOLE)[:-20], "whole gzip file"),
        (b"not gzip", "whole gzip file"),
        (b"", "starts 00 00 08.*nothing"),
        (packed_bytes(b"\0\0\x0d" + WHOLE[3:]), "starts 00 00 08.*00 00 0d 03"),
        (packed_bytes(WHOLE[:9]), "starts 00 00 08"),
        (packed_bytes(WHOLE[:-1]), "expected 23520 bytes .* found 23519"),
        (packed_bytes(WHOLE + b"\0"), "expected 23520 bytes .* found 23521"),
        (packed_bytes(idx(np.zeros((30, 27, 28), np.uint8))), "expected images of 28 x 28"),
        (packed_bytes(idx(np.zeros((29, 28, 28), np.uint8))), "expected 29 labels"),
    ],
)
def test_damaged_images_are_named(root: Path, content: bytes, message: str) -> None:
    path = root / "MNIST/raw/t10k-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        load_mnist(root, "mnist")["test"]
    assert "-ubyte.gz" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_labels_above_nine_are_refused(root: Path) -> None:
    path = root / "MNIST/raw/t10k-labels-idx1-ubyte.gz"
    path.write_bytes(packed_bytes(idx(np.full(30, 10, np.uint8))))
    with pytest.raises(DataError, match="labels of 0 to 9, found 30 up to 10"):
        load_mnist(root, "mnist")["test"]


def test_settings_are_checked(root: Path) -> None:
    with pytest.raises(SettingsError, match="found 'fashion'"):
        load_mnist(root, "fashion")
    with pytest.raises(SettingsError, match="canvas of at least 28 pixels, found 20"):
        load_mnist(root, "cluttered-mnist", canvas=20)


@pytest.mark.parametrize(
    ("variant", "canvas", "stride", "last", "glimpses"),
    [("mnist", 60, 2, 20, 6), ("translated-mnist", 60, 4, 48, 6), ("cluttered-mnist", 100, 4, 88, 8)],
)
def test_grids(root: Path, variant: str, canvas: int, stride: int, last: int, glimpses: int) -> None:
    opened = load_mnist(root, variant, canvas)
    assert opened.geometry.grid().parts[0].rows == tuple(range(0, last + 1, stride))
    assert opened.glimpses == glimpses


def test_the_official_files(real_data: Callable[[str], Path]) -> None:
    opened = load_mnist(real_data("mnist"), "mnist")
    assert [len(opened[split]) for split in SPLITS] == [2000, 53000, 5000, 10000]
    assert opened["test"].labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    for split in SPLITS:
        shares = opened[split].labels.bincount() / len(opened[split])
        assert 0.08 < shares.min() <= shares.max() < 0.13
    assert abs(float(opened["train"].images.float().mean()) / 255 - 0.1307) < 0.001


def test_the_same_id_lies_elsewhere_in_another_split(root: Path) -> None:
    opened = load_mnist(root, "translated-mnist")
    train, test = opened["train"], opened["test"]
    shared = train.ids[train.ids < 30]
    corners = [
        (images[..., 0] > 0).flatten(1).int().argmax(1)
        for images in (train.images[: len(shared)], test.images[shared])
    ]
    assert (corners[0] != corners[1]).float().mean() > 0.8
