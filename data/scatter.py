"""Faces of random widths at random places of a canvas, before another photograph, blurred.

What is read of a face lies somewhere else in every image then, so that it has to be found first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageFilter

from data.dataset import NamedParts, Split
from data.errors import DataError
from data.placing import Placing
from data.scatter_settings import Scattering
from data.store import ImageStore, cached_store, threaded

NUMBERS = 4
"""In [0, 1), that fix one canvas: of the face its width, row and column, and which photograph is behind."""
BLUR = 1 / 16
"""Standard deviation of the Gaussian that blurs a background, as a share of the canvas's side."""
COPIES = 30_000
"""Between the ids of two placements of a face: more than there are faces."""
PARTS = {"right_eye": (0.47, 0.37), "left_eye": (0.47, 0.63), "nose": (0.63, 0.5), "mouth": (0.75, 0.5)}
"""Row and column as shares of the side of an aligned CelebA-HQ face, measured on the mean of 2,084 of them.

The right eye is that of the person, on the left of the picture."""
ORDER = ("mouth", "right_eye", "left_eye", "nose")


def scattered_ids(ids: np.ndarray, split: str, scattering: Scattering) -> np.ndarray:
    """Ids of the canvases that faces `ids` (N,) have: of training faces one for each placement.

    >>> scattered_ids(np.array([7, 9]), "train", Scattering(placements=2)).tolist()
    [7, 9, 30007, 30009]
    """
    placements = scattering.placements if split == "train" else 1
    return np.concatenate([ids + COPIES * copy for copy in range(placements)])


def placing_of(scattering: Scattering) -> Placing:
    """The draws of its places, widths and backgrounds."""
    return Placing(scattering.seed, scattering.canvas_seed)


def canvas_numbers(ids: np.ndarray, split: str, placing: Placing) -> np.ndarray:
    """(N, 4) numbers in [0, 1) that fix the canvases `ids` (N,) of a split, see `NUMBERS`.

    A row depends on seeds, split and id only, so a canvas does not depend on how many are made.

    >>> few, many = (canvas_numbers(np.arange(n), "train", Placing()) for n in (2, 5))
    >>> bool((few == many[:2]).all())
    True
    """
    return placing.generator(split).random((int(ids.max(initial=-1)) + 1, NUMBERS))[ids]


def face_boxes(numbers: np.ndarray, canvas: int, widths: tuple[int, int]) -> np.ndarray:
    """(N, 4) first row and column of faces, and those after their last: uniform, wholly inside of the canvas.

    Args:
        numbers: (N, 4), see `NUMBERS`.
        canvas: side of the canvas in pixels.
        widths: narrowest and widest face in pixels.

    >>> face_boxes(np.array([[0.0, 0.0, 0.99, 0.5]]), 128, (56, 100)).tolist()
    [[0, 72, 56, 128]]
    """
    narrowest, widest = widths
    width = narrowest + (numbers[:, 0] * (widest - narrowest + 1)).astype(np.int64)
    first = (numbers[:, 1:3] * (canvas - width + 1)[:, None]).astype(np.int64)
    return np.concatenate([first, first + width[:, None]], 1)


def backgrounds(numbers: np.ndarray, own: np.ndarray, count: int) -> np.ndarray:
    """(N,) which of `count` photographs is behind each face, uniform over those that are not the face's own.

    Args:
        numbers: (N, 4), see `NUMBERS`.
        own: (N,) the photograph of the face itself; `count` where it is none of them.

    >>> backgrounds(np.array([[0, 0, 0, 0.5]] * 2), np.array([1, 3]), 3).tolist()
    [2, 1]
    """
    others = count - (own < count)
    chosen = (numbers[:, 3] * others).astype(np.int64)
    return chosen + (chosen >= own)


def part_places(boxes: np.ndarray) -> np.ndarray:
    """(N, P, 2) row and column in pixels of the `PARTS` of faces in boxes (N, 4).

    >>> part_places(np.array([[20, 10, 120, 110]]))[0, 3].tolist()
    [95.0, 60.0]
    """
    shares = np.array(list(PARTS.values()))
    return boxes[:, None, :2] + shares * (boxes[:, None, 2:] - boxes[:, None, :2])


def on_canvas(face: np.ndarray, box: np.ndarray, photograph: np.ndarray, canvas: int) -> np.ndarray:
    """(canvas, canvas, 3) uint8: the face, resampled (Lanczos) to its box, before the blurred photograph.

    Args:
        face, photograph: (H, H, 3) uint8.
        box: (4,) see `face_boxes`.
        canvas: side of the canvas in pixels.

    >>> black, white = np.zeros((2, 32, 32, 3), np.uint8) + np.array([[[[0]]], [[[255]]]], np.uint8)
    >>> on_canvas(black, np.array([1, 0, 3, 2]), white, 4)[..., 0].tolist()
    [[255, 255, 255, 255], [0, 0, 255, 255], [0, 0, 255, 255], [255, 255, 255, 255]]
    """
    top, left, bottom, right = (int(pixel) for pixel in box)
    behind = Image.fromarray(photograph).resize((canvas, canvas), Image.Resampling.LANCZOS)
    shown = behind.filter(ImageFilter.GaussianBlur(canvas * BLUR))
    small = Image.fromarray(face).resize((right - left, bottom - top), Image.Resampling.LANCZOS)
    shown.paste(small, (left, top))
    return np.asarray(shown)


def scattered_split(
    photographs: Callable[[str], ImageStore], split: str, scattering: Scattering, column: int | list[int]
) -> Split:
    """The faces of a split on their canvases, made once.

    Args:
        photographs: split -> its aligned faces.
        column: of the labels, or several.

    Raises:
        DataError: no training image that could be a background, or see `data.decode.photo_store`.
    """
    faces, behind = photographs(split), photographs("train")
    names, canvas = faces.ids.numpy(), scattering.canvas
    ids = scattered_ids(names, split, scattering)
    row, placing = np.searchsorted(names, ids % COPIES), placing_of(scattering)
    numbers = canvas_numbers(ids, split, placing)
    boxes = face_boxes(numbers, canvas, scattering.face_widths)
    source = _sources(numbers, names[row], behind.ids.numpy(), split)

    def canvas_of(n: int) -> np.ndarray:
        face, photograph = faces.images[int(row[n])], behind.images[int(source[n])]
        return on_canvas(face.numpy(), boxes[n], photograph.numpy(), canvas)

    key = ["scattered", 1, split, canvas, scattering.face_widths, scattering.seed, len(ids)]
    key += [faces.fingerprint, behind.fingerprint]
    key += [f"canvas seed {number}" for number in placing.beside_seed(split)]
    labels, shape = faces.labels.numpy()[row], (canvas, canvas, 3)
    store = cached_store(key, shape, ids, labels, threaded(canvas_of), title=f"scatter {split}")
    groups = store.ids % COPIES if len(ids) > len(names) else None
    return replace(Split.of(store, column), groups=groups, boxes=torch.from_numpy(boxes))


def _sources(numbers: np.ndarray, names: np.ndarray, known: np.ndarray, split: str) -> np.ndarray:
    """(N,) which of the photographs `known` (M,) is behind each of the faces `names` (N,), not their own."""
    if len(names) and len(known) - (split == "train") < 1:
        raise DataError(
            f"expected training images to put behind the faces of {split}, found {len(known)}; point "
            "--data-root at a folder that has more"
        )
    own = np.where(np.isin(names, known), np.searchsorted(known, names), len(known))
    return backgrounds(numbers, own, len(known))


def face_parts(ids: np.ndarray, split: str, scattering: Scattering) -> NamedParts:
    """Where the parts of the faces `ids` (N,) of a split are on their canvases."""
    numbers = canvas_numbers(scattered_ids(ids, split, scattering), split, placing_of(scattering))
    boxes = face_boxes(numbers, scattering.canvas, scattering.face_widths)
    return NamedParts(tuple(PARTS), torch.from_numpy(part_places(boxes)), ORDER)
