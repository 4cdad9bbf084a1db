"""Squares at any corner as strips of sums: of several scales as few bytes are read as of a plain glimpse.

A square of side f G is G x G sums over blocks of f x f pixels. The sums over *all* windows of f x f pixels,
at every corner, hold those of every square. They are laid out such that what one row of a square needs, each
f-th window, lies side by side: the square is then G strips of G sums, whatever f is. What is seen does not
depend on it: sums are whole numbers.

Shapes: N images, H and W their sides, C channels, f the side of a window, G the side of a glimpse,
R = H + f + 1 rows of windows, Q windows of a phase in a row.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from data.pyramid import AT_ONCE, kept, whole_numbers
from data.strips import strips

DEARER = 8  # times as long as the sums over blocks these take


def window_sums(images: Tensor, factor: int, size: int, count: int) -> Tensor | None:
    """(N, R, f, Q, C) sums over windows, see `windows_of`; None before they pay, or without room.

    Args:
        images: (N, H, W, C) uint8, of which squares are asked for.
        factor: f.
        size: G.
        count: pixels that have to be read without the sums.
    """
    shape = _shape(images, factor, size)
    needed = len(images) * shape.numel() * whole_numbers(factor).itemsize
    make = partial(windows_of, images, factor, size)
    return kept(images, ("windows", factor, size), count // DEARER, needed, make)


def _shape(images: Tensor, factor: int, size: int) -> torch.Size:
    """(R, f, Q, C) of one image."""
    _, height, width, channels = images.shape
    return torch.Size((height + factor + 1, factor, size + width // factor + 1, channels))


def windows_of(images: Tensor, factor: int, size: int) -> Tensor:
    """(N, R, f, Q, C): the sum over the window at row r - f and column (q - G) f + p, p the phase.

    Beyond the border images are black: all sums of the first row of windows, of the last one, and of the
    first G - 1 windows of every phase are 0.

    >>> images = torch.arange(9, dtype=torch.uint8).view(1, 3, 3, 1)
    >>> windows_of(images, 2, 1)[0, 2, :, 1:, 0].tolist()  # row 0, columns 0 and 2, then 1 and 3
    [[8, 7], [12, 0]]
    """
    return torch.cat([_windows(some, factor, size) for some in images.split(AT_ONCE)])


def _windows(images: Tensor, factor: int, size: int) -> Tensor:
    rows, _, columns, _ = _shape(images, factor, size)
    reach = (columns - size + 1) * factor  # columns of windows, from -f on
    padded = pad(images, (0, 0, factor, reach - 1 - images.shape[2], factor, factor))
    lines = padded[:, :rows].to(whole_numbers(factor))
    for row in range(1, factor):
        lines += padded[:, row : row + rows]
    sums = lines[:, :, :reach].clone()
    for column in range(1, factor):
        sums += lines[:, :, column : column + reach]
    whole = pad(sums, (0, 0, (size - 1) * factor, 0))
    return whole.unflatten(2, (columns, factor)).transpose(2, 3).contiguous()


def squares_of(sums: Tensor, index: Tensor, corners: Tensor, size: int) -> Tensor:
    """(B, T, G, G, C) sums over the blocks of squares of images (B,) at corners (B, T, 2), anywhere."""
    _, rows, factor, columns, channels = sums.shape
    row = corners[..., 0, None] + factor * torch.arange(1, size + 1)  # (B, T, G), from row -f on
    col = (corners[..., 1] + factor * size).clamp(0, columns * factor - 1)  # (B, T)
    line = index[:, None, None] * rows + row.clamp(0, rows - 1)
    start = (line * factor + (col % factor)[..., None]) * columns + (col // factor)[..., None]
    found = strips(sums.view(-1), start * channels, size * channels)
    return found.view(*corners.shape[:2], size, size, channels)
