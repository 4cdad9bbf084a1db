"""Small grey images at random places of a larger canvas, among clutter cut from others of them.

The cluttered translated digits of Mnih et al. 2014 (Recurrent Models of Visual Attention, section 4.1).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from data.errors import SettingsError

REGIONS = ("all", "inner", "outer")
"""Where a digit may lie: anywhere, only in the middle of the canvas, or only around that."""


def draws(count: int, pieces: int, *, generator: np.random.Generator) -> np.ndarray:
    """(count, 2 + 5 * pieces) numbers in [0, 1) that fix one canvas per row, see `place`.

    Row n depends on the generator's seed and n only, so a canvas does not depend on how many are made.

    >>> few, many = (draws(n, 1, generator=np.random.default_rng(0)) for n in (2, 5))
    >>> bool((few == many[:2]).all())
    True
    """
    return generator.random((count, 2 + 5 * pieces))


def confined(numbers: np.ndarray, extent: int, region: str) -> np.ndarray:
    """Numbers (N, 2) in [0, 1) for `place` that put digits in a region only, uniformly.

    Of the `extent` positions of a digit in each axis the inner ones are the middle half, and a digit lies in
    the inner region if both its row and its column are such. The outer region is all the rest: a network that
    was trained on one region meets in the other only translations that it has never seen.

    Args:
        numbers: (N, 2) in [0, 1).
        extent: side of the canvas less side of the digit, plus 1.
        region: one of `REGIONS`.

    Raises:
        SettingsError: an unknown region, or a canvas with room for only one.

    >>> (4 * confined(np.array([[0.0, 0.0], [0.99, 0.0]]), 4, "inner")).astype(int).tolist()
    [[1, 1], [2, 2]]
    """
    if region not in REGIONS:
        raise SettingsError(f"expected a region of {', '.join(REGIONS)}; found {region!r}")
    if region == "all":
        return numbers
    around = extent // 4
    if not around:
        raise SettingsError(
            f"expected a canvas with room around its inner region, found {extent} places in each axis; take "
            "a larger one"
        )
    axis = np.arange(extent)
    middle = (axis >= around) & (axis < extent - around)
    cells = np.argwhere((middle[:, None] & middle) == (region == "inner"))
    chosen = cells[(numbers[:, 0] * len(cells)).astype(np.int64)]
    return (chosen + 0.5) / extent  # in the middle of its place, so that rounding down finds it


def place(digits: np.ndarray, own: np.ndarray, drawn: np.ndarray, canvas: int, piece_size: int) -> np.ndarray:
    """One canvas per row of `drawn`: a digit and P pieces of other digits, combined by maximum.

    Digit and pieces lie wholly inside the canvas.

    Args:
        digits: (M, h, w) uint8.
        own: (N,) which of the M digits each canvas shows; its pieces come from the M - 1 others.
        drawn: (N, 2 + 5 * P) in [0, 1): row and col of the digit, then for each piece its source, row and
            col of the crop, row and col on the canvas.
        canvas: side of the canvas in pixels.
        piece_size: side of a piece in pixels.

    Returns:
        (N, canvas, canvas) uint8.

    Raises:
        SettingsError: a digit or piece does not fit, or there is no other digit to cut pieces from.

    >>> digit = np.full((1, 2, 2), 255, np.uint8)
    >>> place(digit, np.array([0]), np.array([[0.99, 0.0]]), 3, 1)[0].tolist()
    [[0, 0, 0], [255, 255, 0], [255, 255, 0]]
    """
    pieces = (drawn.shape[1] - 2) // 5
    _require_fit(digits.shape, canvas, piece_size, pieces)
    canvases = np.zeros((len(own), canvas, canvas), np.uint8)
    _paste(canvases, digits[own], drawn[:, :2])
    crops = sliding_window_view(digits, (piece_size, piece_size), axis=(1, 2)) if pieces else digits
    for number in drawn[:, 2:].reshape(len(own), pieces, 5).transpose(1, 0, 2):
        source = (number[:, 0] * (len(digits) - 1)).astype(np.int64)
        source += source >= own  # skips the image's own digit
        row, col = _positions(number[:, 1:3], crops.shape[1:3])
        _paste(canvases, crops[source, row, col], number[:, 3:])
    return canvases


def digit_boxes(drawn: np.ndarray, canvas: int, side: int) -> np.ndarray:
    """(N, 4) where `place` puts digits of this side: first row and column, and those after the last.

    >>> digit_boxes(np.array([[0.99, 0.0]]), 3, 2).tolist()
    [[1, 0, 3, 2]]
    """
    row, col = _positions(drawn[:, :2], (canvas - side + 1, canvas - side + 1))
    return np.stack([row, col, row + side, col + side], axis=1)


def _paste(canvases: np.ndarray, patches: np.ndarray, numbers: np.ndarray) -> None:
    """Patch n (N, h, w) onto canvas n by maximum, at the place that numbers (N, 2) in [0, 1) stand for."""
    windows = sliding_window_view(canvases, patches.shape[1:], axis=(1, 2), writeable=True)
    row, col = _positions(numbers, windows.shape[1:3])
    where = (np.arange(len(canvases)), row, col)
    windows[where] = np.maximum(windows[where], patches)


def _positions(numbers: np.ndarray, extent: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns (N,), uniform over `extent`, from numbers (N, 2) in [0, 1)."""
    row, col = (numbers * extent).astype(np.int64).T
    return row, col


def _require_fit(shape: tuple[int, ...], canvas: int, piece_size: int, pieces: int) -> None:
    if max(shape[1:]) > canvas:
        raise SettingsError(
            f"expected a canvas of at least {max(shape[1:])} pixels, found {canvas}; choose a larger one"
        )
    if pieces and not 0 < piece_size <= min(shape[1:]):
        raise SettingsError(f"expected pieces of 1 to {min(shape[1:])} pixels, found {piece_size}")
    if pieces and shape[0] < 2:
        raise SettingsError("expected at least 2 digits to cut clutter from, found 1; use no clutter")
