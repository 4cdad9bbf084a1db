"""A task from arrays in memory: what they have to be, and which of the images go to which split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike

from data.built_in import BUILT_IN
from data.errors import DataError, SettingsError, one_line
from data.geometry import Geometry

FEWEST = 8  # images to train with
LARGEST_GLIMPSE = 16  # pixels; of what is chosen for small images, a fifth of the side


def whole_number(value: object, name: str, fewest: int) -> int:
    """The value, where it is a whole number from `fewest` on; of numpy will do.

    Raises:
        SettingsError: it is not.

    >>> whole_number(np.int64(3), "glimpses", 1)
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < fewest:
        raise SettingsError(f"expected {name} as a whole number from {fewest} on, found {one_line(value)}")
    return int(value)


def own_name(name: object) -> str:
    """The name of a task from arrays; not that of a data set here, by which saved networks open theirs.

    Raises:
        SettingsError: no text, or the name of a data set that comes with this project.

    >>> own_name("pets")
    'pets'
    """
    if not isinstance(name, str) or not name.strip():
        raise SettingsError(f"expected a name of at least one letter, found {one_line(name)}")
    if name in BUILT_IN:
        raise SettingsError(
            f"expected a name of its own, found {name!r}, one of the data sets {', '.join(BUILT_IN)}; "
            "choose another"
        )
    return name


def as_array(values: ArrayLike, what: str) -> np.ndarray:
    """The values as one array; raises DataError where they are ragged, or on another device.

    >>> as_array([[1, 2], [3, 4]], "images").shape
    (2, 2)
    """
    try:
        return np.asarray(values)
    except (RuntimeError, TypeError, ValueError) as error:
        raise DataError(
            f"expected {what} that make one array, all of one shape and on the CPU, found: "
            f"{' '.join(str(error).split())}"
        ) from None


def checked_images(images: ArrayLike) -> np.ndarray:
    """(N, H, W, C) uint8 of images (N, H, W) or (N, H, W, C).

    Raises:
        DataError: another type or shape; both are shown.

    >>> checked_images(np.zeros((3, 8, 9), np.uint8)).shape
    (3, 8, 9, 1)
    """
    array = as_array(images, "images")
    if array.dtype != np.uint8:
        raise DataError(
            f"expected images of uint8, 0 to 255, found {array.dtype}; convert them, for example by "
            "(255 * images).round().astype('uint8') where they are in [0, 1]"
        )
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise DataError(
            f"expected images of shape (N, H, W) or (N, H, W, C), found {array.shape}; reshape them"
        )
    if array.ndim == 4 and array.shape[1] < min(array.shape[2:]):
        raise DataError(
            f"expected images with their channels last, (N, H, W, C), found {array.shape}; permute them"
        )
    return np.ascontiguousarray(array if array.ndim == 4 else array[..., None])


def checked_labels(labels: ArrayLike, images: int, classes: tuple[str, ...] | None) -> np.ndarray:
    """(N,) int64 labels 0 to K - 1, one for each image.

    Args:
        labels: (N,).
        images: N.
        classes: names of the K classes; without, every number up to the largest has to occur.

    Raises:
        DataError: labels that are no such numbers, or not as many as images.
    """
    array = as_array(labels, "labels")
    if array.shape != (images,):
        raise DataError(f"expected {images} labels (N,), as many as images, found {array.shape}")
    if array.dtype.kind not in "iu":
        raise DataError(f"expected labels that are integers 0 to K - 1, found {array.dtype}; number them")
    distinct = np.unique(array)
    count = len(distinct) if classes is None else len(classes)
    if count < 2:
        raise DataError(f"expected at least 2 classes, found {count}; add images of another class")
    if int(distinct[0]) < 0 or int(distinct[-1]) >= count:
        raise DataError(
            f"expected labels 0 to {count - 1} for {count} classes, found {distinct[0]} to {distinct[-1]}; "
            "number the classes from 0 without gaps"
        )
    return array.astype(np.int64)


def class_names(classes: Iterable[object] | None) -> tuple[str, ...] | None:
    """The names of the classes as text, in their order; None where none are given.

    Raises:
        DataError: they are in no order, or two are the same.

    >>> class_names(np.array([3, 8]))
    ('3', '8')
    """
    if classes is None:
        return None
    if isinstance(classes, str | bytes | Mapping | Set) or not np.iterable(classes):
        raise DataError(
            f"expected classes as a list of names, in the order of their labels, found {one_line(classes)}"
        )
    names = tuple(map(str, classes))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"expected another name for each of the {len(names)} classes, found {', '.join(twice)} more than "
            "once; rename them"
        )
    return names


def size_of(split: str, size: object, images: int) -> int:
    """How many of the images a split gets.

    Args:
        split: its name, for the message.
        size: a share in [0, 1), or a whole number of images.
        images: N.

    Raises:
        SettingsError: it is neither.

    >>> size_of("test", 0.2, 50), size_of("test", 7, 50)
    (10, 7)
    """
    if isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 0:
        return int(size)
    if isinstance(size, Real) and not isinstance(size, Integral) and 0 <= float(size) < 1:
        return round(float(size) * images)
    raise SettingsError(
        f"expected {split} as a share in [0, 1) or as a whole number of images, found {one_line(size)}; a "
        "number of images is an int"
    )


def drawn_splits(images: int, sizes: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
    """Which images are in which split, increasing; those that no other split has are for training.

    Args:
        images: N.
        sizes: split -> a share in [0, 1), or a number of images.
        seed: of the draw.

    Raises:
        SettingsError: a size that is neither, or a seed that is no whole number from 0 on.
        DataError: a split has no image, or too few are left for training.

    >>> {name: len(rows) for name, rows in drawn_splits(100, {"test": 0.2, "valid": 7}, 0).items()}
    {'test': 20, 'valid': 7, 'train': 73}
    """
    counts = {name: size_of(name, size, images) for name, size in sizes.items()}
    counts["train"] = images - sum(counts.values())
    for name, count in counts.items():
        fewest = FEWEST if name == "train" else 1
        if count < fewest:
            raise DataError(
                f"expected at least {fewest} images in the {name} split, found {count} of {images}; give "
                "more images, or other sizes of the splits"
            )
    order = np.random.default_rng(whole_number(seed, "seed", 0)).permutation(images)
    ends = np.cumsum(list(counts.values()))
    return {
        name: np.sort(order[end - count : end])
        for (name, count), end in zip(counts.items(), ends, strict=True)
    }


def default_geometry(shape: tuple[int, ...], glimpse_size: int | None) -> Geometry:
    """Glimpses of a fifth of the shorter side, up to 16 pixels, on a grid of half a glimpse.

    Args:
        shape: (N, H, W, C) of the images.
        glimpse_size: another side in pixels.

    Raises:
        SettingsError: no whole number, or the glimpse is larger than the image.

    >>> geometry = default_geometry((1, 40, 40, 1), None)
    >>> geometry.glimpse_size, geometry.per_axis
    (8, 9)
    """
    _, height, width, channels = shape
    side = min(height, width)
    chosen = max(2, min(side // 5, LARGEST_GLIMPSE)) if glimpse_size is None else glimpse_size
    size = whole_number(chosen, "glimpse_size", 1)
    if size > side:
        raise SettingsError(
            f"expected a glimpse of at most {side} pixels, found {size}; choose a smaller one"
        )
    per_axis = (side - size) // max(1, size // 2) + 1
    return Geometry(height, width, channels, size, per_axis=per_axis)
