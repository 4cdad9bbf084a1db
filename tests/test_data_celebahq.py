from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from faces_tiny import ANNOTATED, MALE, annotate
from PIL import Image

from data.celebahq import RANGES, load_celebahq
from data.dataset import SPLITS
from data.decode import decode_square
from data.errors import DataError, SettingsError
from data.layouts import CELEBAHQ_ANNOTATIONS as ANNOTATIONS
from data.layouts import CELEBAHQ_IMAGES as IMAGES

Write = Callable[..., None]


@pytest.fixture
def root(tmp_path: Path, write_photo: Write) -> Path:
    annotate(tmp_path)
    for i in ANNOTATED:
        write_photo(tmp_path / IMAGES / f"{i}.jpg", i, (32, 32))
    return tmp_path


def test_splits_follow_the_published_indices(root: Path) -> None:
    male = load_celebahq(root, "Male")
    assert {split: male[split].ids.tolist() for split in SPLITS} == {
        "design": [0, 1, 1999], "train": [2000, 26999], "valid": [27000, 27499], "test": [27500, 29999],
    }  # fmt: skip
    assert male["design"].labels.tolist() == [1, 0, 1]
    assert load_celebahq(root, "Young")["design"].labels.tolist() == [0, 1, 0]
    assert male.classes == ("not Male", "Male")
    assert male["test"].images.shape == (2, 224, 224, 3)
    assert sum(len(indices) for indices in RANGES.values()) == 30_000
    assert male.note == ""


def test_the_attribute_that_was_not_given_is_told(root: Path) -> None:
    opened = load_celebahq(root)
    assert opened.target == "Male"
    assert opened.note == "attribute not given, taking Male"


def test_order_of_the_annotations_does_not_matter(root: Path) -> None:
    before = load_celebahq(root)["train"]
    annotate(root, ANNOTATED[::-1], MALE[::-1])
    assert load_celebahq(root)["train"].fingerprint == before.fingerprint


def test_two_exchanged_labels_are_not_answered_from_the_cache(root: Path) -> None:
    before = load_celebahq(root)["design"]
    annotate(root, male=[-1, 1, *MALE[2:]])
    after = load_celebahq(root)["design"]
    assert before.labels.tolist() == [1, 0, 1]
    assert after.labels.tolist() == [0, 1, 1]
    assert after.fingerprint != before.fingerprint


def test_a_partial_folder_leaves_out_what_is_absent_and_says_so(root: Path) -> None:
    for i in (1, 27000):
        (root / IMAGES / f"{i}.jpg").unlink()
    opened = load_celebahq(root, "Male")
    assert "2 of 9 annotated images are not in" in opened.note
    assert opened["design"].ids.tolist() == [0, 1999]
    assert opened["valid"].ids.tolist() == [27499]


def test_test_images_alone_can_be_tested(tmp_path: Path, write_photo: Write) -> None:
    annotate(tmp_path)
    write_photo(tmp_path / IMAGES / "27500.jpg", 0)
    opened = load_celebahq(tmp_path, "Male")
    assert opened["test"].labels.tolist() == [0]
    with pytest.raises(DataError, match="expected images in the train split of celebahq, found none"):
        opened["train"]


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no folder .*absent; set --data-root"):
        load_celebahq(tmp_path / "absent")
    with pytest.raises(DataError, match=f"expected the annotation file .*{ANNOTATIONS}, found none"):
        load_celebahq(tmp_path)
    annotate(tmp_path)
    with pytest.raises(DataError, match=f"expected annotated images .*{IMAGES}, found none of 9"):
        load_celebahq(tmp_path)


def test_an_unknown_attribute_is_answered_with_the_known_ones(root: Path) -> None:
    with pytest.raises(SettingsError, match="one of the attributes Young, Male; found 'male'"):
        load_celebahq(root, "male")


@pytest.mark.parametrize(
    "text",
    ["", "1\n", "1\nA B\n", "1\nA B\n0.jpg 1\n", "1\nA B\n0.jpg 1 x\n", "1\nA B\n0.jpg 1 1\n1.jpg 1\n",
     "1\nA B\nzero.jpg 1 1\n"],
)  # fmt: skip
def test_damaged_annotations_are_named(root: Path, text: str) -> None:
    (root / ANNOTATIONS).write_text(text)
    with pytest.raises(DataError, match=ANNOTATIONS):
        load_celebahq(root)


def test_an_unreadable_image_is_named(root: Path) -> None:
    path = root / IMAGES / "27500.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"expected a readable image, found .*27500\.jpg"):
        load_celebahq(root)["test"]


def test_published_grid(root: Path) -> None:
    assert load_celebahq(root).geometry.grid().parts[0].rows == tuple(int(v) for v in np.linspace(0, 207, 50))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1"])
def test_any_kind_of_image_becomes_three_channels(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (30, 50), (200, 200, 200)).convert(mode).save(tmp_path / "grey.png")
    square = decode_square(tmp_path / "grey.png", 12)
    assert square.shape == (12, 12, 3)
    assert square.dtype == np.uint8


def test_the_central_square_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    for name in ("wide.png", "tall.png"):
        assert (decode_square(tmp_path / name, 10)[1:-1, 1:-1] > 250).all()


def test_real_faces(real_data: Callable[[str], Path]) -> None:
    opened = load_celebahq(real_data("celebahq"), "Smiling")
    assert torch.equal(opened["valid"].ids, torch.arange(27000, 27500))
    assert 0.3 < opened["valid"].labels.float().mean() < 0.6
