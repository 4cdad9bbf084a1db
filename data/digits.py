"""The 1,797 handwritten digits that come with scikit-learn, on a larger canvas with clutter.

Small enough to be made in memory whenever it is asked for: for tests, examples and first experiments.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from data.canvas import digit_boxes, draws, place
from data.dataset import SPLITS, DataSet, Saliency, Split
from data.geometry import Geometry
from data.placing import Placing
from data.store import ImageStore

CANVAS = 40
PIECES, PIECE_SIZE = 3, 6
COUNTS = {"design": 300, "train": 1047, "valid": 150, "test": 300}
COPIES = {"design": 2, "train": 6, "valid": 3, "test": 2}


def load_digits(seed: int = 0, canvas_seed: int = 0) -> DataSet:
    """Cluttered digits of 16 x 16 on 40 x 40, 8-pixel glimpses on a 9 x 9 grid, 5 of them.

    The handwritten digits are parted first, always in the same way, and then placed: no digit, nor a
    piece of it as clutter, is in two splits. Training digits are placed six times, validation digits
    three times, the others twice.

    Args:
        seed: of the places and the clutter.
        canvas_seed: other than 0: of other places and clutter in design and test, see `data.placing`.

    Raises:
        SettingsError: an impossible canvas_seed.

    >>> split = load_digits()["valid"]
    >>> tuple(split.images.shape), split.labels.unique().tolist() == list(range(10))
    ((450, 40, 40, 1), True)
    """
    geometry = Geometry(CANVAS, CANVAS, 1, glimpse_size=8, per_axis=9)
    placing = Placing(seed, canvas_seed)
    openers = {split: partial(_open_split, split, placing) for split in SPLITS}
    saliency = partial(_saliency, placing)
    return DataSet("digits", "label", tuple("0123456789"), geometry, 5, openers, saliency=saliency)


def _drawn(split: str, placing: Placing, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) which of `count` digits each image shows, and (N, 2 + 5 P) where, see `data.canvas.place`."""
    own = np.tile(np.arange(count), COPIES[split])
    return own, draws(len(own), PIECES, generator=placing.generator(split))


def _saliency(placing: Placing, split: str) -> Saliency:
    """Of rows of a split: their digits at their places, without clutter."""
    digits, _ = _handwritten()
    digits = digits[_rows(split, len(digits))]
    own, drawn = _drawn(split, placing, len(digits))

    def digits_alone(rows: Tensor) -> Tensor:
        some = rows.cpu().numpy()
        return torch.from_numpy(place(digits, own[some], drawn[some, :2], CANVAS, PIECE_SIZE))

    return digits_alone


def _open_split(split: str, placing: Placing) -> Split:
    """Image id = number of the handwritten digit + 1,797 * number of its copy."""
    digits, labels = _handwritten()
    rows = _rows(split, len(digits))
    own, drawn = _drawn(split, placing, len(rows))
    copy = np.repeat(np.arange(COPIES[split]), len(rows))
    images = place(digits[rows], own, drawn, CANVAS, PIECE_SIZE)
    store = ImageStore.from_arrays(images[..., None], labels[rows][own], rows[own] + copy * len(digits))
    boxes = torch.from_numpy(digit_boxes(drawn, CANVAS, digits.shape[1]))
    return replace(Split.of(store), groups=store.ids % len(digits), boxes=boxes)


def _handwritten() -> tuple[np.ndarray, np.ndarray]:
    """(1797, 16, 16) uint8 digits and (1797,) labels."""
    from sklearn.datasets import load_digits as load  # slow to import, and no other data set needs it

    bunch = load()
    grey = (bunch.images * (255 / 16)).round().astype(np.uint8)
    return grey.repeat(2, axis=1).repeat(2, axis=2), bunch.target


def _rows(split: str, count: int) -> np.ndarray:
    """The handwritten digits of a split, increasing; a partition that no seed changes."""
    order = np.random.default_rng(0).permutation(count)
    ends = np.cumsum([COUNTS[name] for name in SPLITS])
    end = int(ends[SPLITS.index(split)])
    return np.sort(order[end - COUNTS[split] : end])
