"""A task from arrays: what becomes of them, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch

from data import SPLITS, DataError, DataSet, SettingsError, Split, load

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (60, 20, 24, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


def test_every_image_is_in_one_split_with_its_pixels_and_label() -> None:
    dataset = DataSet.from_arrays(IMAGES, LABELS)
    ids = torch.cat([dataset[split].ids for split in SPLITS])
    assert sorted(ids.tolist()) == list(range(60))
    for split in SPLITS:
        rows = dataset[split].ids.numpy()
        assert (dataset[split].images.numpy() == IMAGES[rows]).all()
        assert (dataset[split].labels.numpy() == LABELS[rows]).all()
    assert dataset.classes == ("0", "1", "2") and dataset.origin is None


def test_the_draw_follows_from_the_seed_alone() -> None:
    def ids(seed: int) -> list[int]:
        return DataSet.from_arrays(IMAGES, LABELS, seed=seed)["test"].ids.tolist()

    assert ids(0) == ids(0) != ids(1)


def test_grey_images_and_tensors_will_do() -> None:
    grey = DataSet.from_arrays(torch.from_numpy(IMAGES[..., 0]), torch.from_numpy(LABELS), test=7, valid=5)
    assert grey.geometry.channels == 1 and len(grey["test"]) == 7 and len(grey["valid"]) == 5


def test_names_of_classes_may_be_more_than_occur() -> None:
    assert DataSet.from_arrays(IMAGES, LABELS, classes=list("abcd")).classes == tuple("abcd")


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"images": IMAGES / 255}, DataError, "expected images of uint8, 0 to 255, found float64"),
    ({"images": IMAGES[0, 0]}, DataError, r"expected images of shape .*, found \(24, 3\)"),
    ({"images": IMAGES.transpose(0, 3, 1, 2)}, DataError, r"channels last, .*, found \(60, 3, 20, 24\)"),
    ({"labels": LABELS[:-1]}, DataError, r"expected 60 labels .*, found \(59,\)"),
    ({"labels": LABELS / 1}, DataError, "expected labels that are integers .*, found float64"),
    ({"labels": LABELS + 1}, DataError, "expected labels 0 to 2 for 3 classes, found 1 to 3"),
    ({"labels": 2 * LABELS}, DataError, "expected labels 0 to 2 for 3 classes, found 0 to 4"),
    ({"classes": ("a", "b")}, DataError, "expected labels 0 to 1 for 2 classes, found 0 to 2"),
    ({"labels": 0 * LABELS}, DataError, "expected at least 2 classes, found 1"),
    (
        {"images": IMAGES[:9], "labels": LABELS[:9]},
        DataError,
        "at least 8 images in the train split, found 5",
    ),
    ({"valid": 0}, DataError, "expected at least 1 images in the valid split, found 0 of 60"),
    ({"glimpse_size": 21}, SettingsError, "expected a glimpse of at most 20 pixels, found 21"),
]


@pytest.mark.parametrize(("given", "error", "message"), REFUSED, ids=[each[2][:40] for each in REFUSED])
def test_what_cannot_be_a_task_is_refused(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DataSet.from_arrays(**({"images": IMAGES, "labels": LABELS} | given))


def test_splits_are_compared_by_identity_and_can_be_keys() -> None:
    one, other = (load("digits")["valid"] for _ in range(2))
    assert one == one and one != other
    assert isinstance({one: 1}, dict) and len({one, other, one}) == 2
    assert isinstance(one, Split)
