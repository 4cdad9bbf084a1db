"""A finite world of images: seven-segment digits beside a decoy. Every probability in it is a count.

What is estimated on photographs can be computed here, by `boed.enumeration.exact`, and the two compared.
"""

from __future__ import annotations

from functools import cache, partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from data.dataset import SPLITS, DataSet, Split, split_in_memory
from data.geometry import Geometry

CANVAS, HEIGHT, WIDTH = 32, 15, 9
GROUNDS, INK = (0, 60), 160  # grey levels; ink comes on top of the ground
THICKNESSES = (2, 1)
LIT = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
NOTCH = 2
ROWS, COLS = (0, 6, 11, 17), (0, 2, 5, 7)  # of a glyph's top left pixel, in its half of the canvas
TEMPLATES = 10 * 9 * 2 * len(GROUNDS) * len(ROWS) * len(COLS)
OF_A_CLASS = {
    "design": 48,
    "train": 432,
    "valid": 48,
    "test": 48,
}  # templates: three quarters are learned from


def load_finite(seed: int = 0) -> DataSet:
    """5,760 known images, each in one split, 6-pixel glimpses on an 8 x 8 grid, 5 of them.

    A template is a choice, all choices being equally likely, of a digit (the class), another digit as its
    decoy, the half of the canvas that the digit is in (the decoy is in the other one), a ground, dark or
    bright, and one of four rows and four columns in the half. All seven segments of both are always
    visible; those that are not lit have a notch in the middle. Adaptivity pays because

    * what is seen of the outlines says where the rest is, and that the middles of the segments are to be
      seen;
    * on the dark ground the digit has thick strokes and the decoy thin ones, on the bright ground it is the
      other way round: only both together say which of the two counts;
    * the decoy's row mirrors that of the digit, and its column follows from both, so that the one says where
      to look for the other.

    There is no noise. The templates of each class are shuffled by the seed and parted: 432 into train and 48
    each into design, valid and test, so that no two images are alike, within a split or in two, and what is
    measured on the others was not learned by heart. Train is a sample of the population, in which all
    templates are equally likely, and so is each of the others; probabilities are those of the population.
    Image id = template + 5,760 * its rank in an order in which neighbours have nothing in common.

    Args:
        seed: of the parting and the order; it does not change the templates.

    >>> finite = load_finite()
    >>> split, (images, labels) = finite["valid"], templates()
    >>> torch.equal(split.images, images[template_of(split.ids)])
    True
    >>> {name: len(finite[name]) for name in finite}
    {'design': 480, 'train': 4320, 'valid': 480, 'test': 480}
    """
    geometry = Geometry(CANVAS, CANVAS, 1, glimpse_size=6, per_axis=8)
    openers = {split: partial(_open_split, split, seed) for split in SPLITS}
    return DataSet("finite", "label", tuple("0123456789"), geometry, 5, openers)


def templates() -> tuple[Tensor, Tensor]:
    """All images (M, H, W, 1) uint8, no two alike, and their labels (M,) int64.

    >>> images, labels = templates()
    >>> tuple(images.shape), labels.bincount().unique().tolist()
    ((5760, 32, 32, 1), [576])
    """
    images, labels = _templates()
    return torch.from_numpy(images.copy()), torch.from_numpy(labels.copy())


def template_of(ids: Tensor) -> Tensor:
    """Which template each image shows, by its id.

    >>> template_of(torch.tensor([7, 5767])).tolist()
    [7, 7]
    """
    return ids % TEMPLATES


def _open_split(split: str, seed: int) -> Split:
    order, parts = _parting(seed)
    rank = np.flatnonzero(parts[order] == SPLITS.index(split))
    images, labels = _templates()
    chosen = order[rank]
    return split_in_memory(images[chosen], labels[chosen], rank * TEMPLATES + chosen)


def _parting(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An order of the templates (M,), and the number of the split that each is in (M,)."""
    random = np.random.default_rng(seed)
    splits = np.repeat(np.arange(len(SPLITS)), [OF_A_CLASS[split] for split in SPLITS])
    of_class = [random.permutation(splits) for _ in range(10)]  # templates are in the order of the classes
    return random.permutation(TEMPLATES), np.concatenate(of_class)


@cache
def _templates() -> tuple[np.ndarray, np.ndarray]:
    """Images (M, H, W, 1) uint8 and labels (M,), by class."""
    glyphs = [[_glyph(lit, thickness) for thickness in THICKNESSES] for lit in LIT]
    choices = product(range(10), range(9), (0, 1), range(len(GROUNDS)), range(len(ROWS)), range(len(COLS)))
    images = np.empty((TEMPLATES, CANVAS, CANVAS), np.uint8)
    for image, (digit, other, half, ground, row, col) in zip(images, choices, strict=True):
        image[:] = GROUNDS[ground]
        decoy = (digit + 1 + other) % 10
        _add(image, glyphs[digit][ground], half, ROWS[row], COLS[col])
        _add(image, glyphs[decoy][1 - ground], 1 - half, ROWS[-1 - row], COLS[(row + col) % len(COLS)])
    return images[..., None], np.repeat(np.arange(10), TEMPLATES // 10)


def _add(image: np.ndarray, glyph: np.ndarray, half: int, top: int, left: int) -> None:
    """Inks a glyph in the left or right half of an image, in place."""
    left += half * CANVAS // 2
    image[top : top + HEIGHT, left : left + WIDTH] += INK * glyph


def _glyph(lit: str, thickness: int) -> np.ndarray:
    """(HEIGHT, WIDTH) uint8 of 0 and 1: lit segments whole, the others with a notch in the middle."""
    glyph = np.zeros((HEIGHT, WIDTH), np.uint8)
    for name, (rows, cols) in _segments(thickness).items():
        segment = np.zeros_like(glyph)
        segment[rows, cols] = 1
        if name not in lit:
            segment[_notch(rows, cols)] = 0
        glyph |= segment
    return glyph


def _segments(thickness: int) -> dict[str, tuple[slice, slice]]:
    """Rows and columns of each segment: a on top, then clockwise to f, and g in the middle."""
    middle = (HEIGHT - thickness) // 2
    upper, lower, whole = slice(0, middle + thickness), slice(middle, HEIGHT), slice(0, WIDTH)
    left, right = slice(0, thickness), slice(WIDTH - thickness, WIDTH)
    return {
        "a": (slice(0, thickness), whole),
        "b": (upper, right),
        "c": (lower, right),
        "d": (slice(HEIGHT - thickness, HEIGHT), whole),
        "e": (lower, left),
        "f": (upper, left),
        "g": (slice(middle, middle + thickness), whole),
    }


def _notch(rows: slice, cols: slice) -> tuple[slice, slice]:
    """The two pixels in the middle of a segment, over its thickness."""
    if rows.stop - rows.start < cols.stop - cols.start:
        start = (cols.start + cols.stop - NOTCH) // 2
        return rows, slice(start, start + NOTCH)
    start = (rows.start + rows.stop - NOTCH) // 2
    return slice(start, start + NOTCH), cols
