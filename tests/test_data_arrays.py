"""A task from arrays: what becomes of them, and what is refused."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from data import SPLITS, DataError, DataSet, Geometry, SettingsError, Split, load

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


@pytest.mark.parametrize("classes", [np.array(["a", "b", "c"]), (name for name in "abc")])
def test_names_of_classes_may_be_an_array_or_an_iterator(classes: Any) -> None:
    assert DataSet.from_arrays(IMAGES, LABELS, classes=classes).classes == ("a", "b", "c")


def test_names_of_classes_become_text() -> None:
    names = DataSet.from_arrays(IMAGES, LABELS, classes=np.array([1, 3, 7])).classes
    assert names == ("1", "3", "7") and all(type(name) is str for name in names)


def test_what_becomes_of_the_arrays_later_does_not_matter() -> None:
    images, labels = IMAGES.copy(), LABELS.copy()
    dataset = DataSet.from_arrays(images, labels)
    images[:], labels[:] = 0, 0
    rows = dataset["train"].ids.numpy()
    assert (dataset["train"].images.numpy() == IMAGES[rows]).all()
    assert (dataset["train"].labels.numpy() == LABELS[rows]).all()


@pytest.mark.parametrize("value", [2.5, "3", True])
def test_a_geometry_is_of_whole_numbers(value: Any) -> None:
    with pytest.raises(
        SettingsError, match=f"expected per_axis as a whole number up to 32,767, found {value!r}"
    ):
        Geometry(20, 24, 3, glimpse_size=4, per_axis=value)


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
    ({"images": [IMAGES[0], IMAGES[0, 1:]]}, DataError, "expected images that make one array"),
    ({"labels": [[0], [0, 1]]}, DataError, "expected labels that make one array"),
    (
        {"classes": ("a", "b", "a")},
        DataError,
        "expected another name for each of the 3 classes, found a more",
    ),
    ({"classes": (1, "1", 2)}, DataError, "expected another name for each of the 3 classes, found 1 more"),
    ({"classes": "abc"}, DataError, "expected classes as a list of names, .*, found 'abc'"),
    ({"classes": {0: "a", 1: "b", 2: "c"}}, DataError, "expected classes as a list of names, .*, found {0: "),
    ({"classes": 3}, DataError, "expected classes as a list of names, .*, found 3"),
    ({"name": ""}, SettingsError, "expected a name of at least one letter, found ''"),
    ({"name": None}, SettingsError, "expected a name of at least one letter, found None"),
    *[
        ({name: size}, SettingsError, f"expected {name} as a share in .* found {shown}; a number of")
        for name in ("valid", "test", "design")
        for size, shown in ((math.nan, "nan"), (math.inf, "inf"), (None, "None"), ("7", "'7'"))
    ],
    *[
        ({"test": size}, SettingsError, f"expected test as a share in .* found {shown}; a number of")
        for size, shown in ((1.0, "1.0"), (-1, "-1"), (-0.5, "-0.5"), (True, "True"), (5.5, "5.5"))
    ],
    *[
        ({name: value}, SettingsError, f"expected {name} as a whole number from {fewest} on, found {value!r}")
        for name, fewest in (("seed", 0), ("glimpse_size", 1), ("glimpses", 1))
        for value in (-1, 2.5, "3", True)
    ],
    *[({name: 0}, SettingsError, f"expected {name} as a whole") for name in ("glimpse_size", "glimpses")],
]


@pytest.mark.parametrize(("given", "error", "message"), REFUSED, ids=[each[2] for each in REFUSED])
def test_what_cannot_be_a_task_is_refused(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as refusal:
        DataSet.from_arrays(**({"images": IMAGES, "labels": LABELS} | given))
    assert "\n" not in str(refusal.value)


def test_a_split_that_there_is_not_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(DataError, match="a split of arrays: design, train, valid, test; found 'nope'"):
        DataSet.from_arrays(IMAGES, LABELS)["nope"]


def test_a_data_set_contains_the_names_of_its_splits() -> None:
    dataset = DataSet.from_arrays(IMAGES, LABELS)
    assert "train" in dataset and "nope" not in dataset and tuple(dataset) == SPLITS


def test_a_data_set_is_shown_in_a_few_words_with_the_counts_that_are_known() -> None:
    dataset = DataSet.from_arrays(IMAGES, LABELS, classes=range(100))
    split = dataset["train"]
    assert repr(split) == "<Split of 33 images 20 x 24 x 3 on cpu>"
    shown = repr(dataset)
    assert shown.startswith("<DataSet arrays, label: 100 classes ('0', '1', ") and len(shown) < 200
    assert shown.endswith(
        "images 20 x 24 x 3, 5 glimpses of 4 pixels, splits design, train (33), valid, test>"
    )


@pytest.mark.parametrize("opened", [(), SPLITS])
def test_a_data_set_of_arrays_can_be_pickled(opened: tuple[str, ...]) -> None:
    dataset = DataSet.from_arrays(IMAGES, LABELS)
    before = len(pickle.dumps(dataset))
    for split in opened:
        dataset[split]
    kept = pickle.dumps(dataset)
    assert len(kept) == before < 1.1 * IMAGES.nbytes + 5000
    again = pickle.loads(kept)
    assert again.fingerprint() == dataset.fingerprint() and again.geometry == dataset.geometry
    assert (again["test"].images == dataset["test"].images).all()


def test_splits_are_compared_by_identity_and_can_be_keys() -> None:
    one, other = (load("digits")["valid"] for _ in range(2))
    assert one == one and one != other
    assert isinstance({one: 1}, dict) and len({one, other, one}) == 2
    assert isinstance(one, Split)
