"""Curves in a terminal: drawn with the dots of Braille signs, two by four to a letter."""

from __future__ import annotations

from collections.abc import Sequence

EMPTY = 0x2800  # the sign without dots
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column


def text_curve(steps: Sequence[float], values: Sequence[float], width: int, height: int) -> list[str]:
    """Values against increasing steps, joined by lines, as `height` lines of text.

    Its largest value is at the top of the first line and its smallest at the foot of the last, as numbers at
    the left say; one line more has the first and the last step.

    Args:
        width: letters of the curve itself.

    >>> print("\\n".join(text_curve([0, 50, 100], [1.0, 0.25, 0.0], width=8, height=2)))
    1 |⠑⠢⡀
    0 |  ⠈⠑⠢⠤⢄⣀
       0    100
    """
    rows, columns = 4 * height, 2 * width
    low, high = min(values), max(values)
    levels = [_level(value, low, high, rows) for value in _spread(steps, values, columns)]
    cells = [[EMPTY] * width for _ in range(height)]
    for column, (before, level) in enumerate(zip([levels[0], *levels], levels, strict=False)):
        first = level if before == level else before + (1 if before < level else -1)
        for row in range(min(first, level), max(first, level) + 1):
            cells[row // 4][column // 2] |= DOTS[row % 4][column % 2]
    drawn = ["".join(map(chr, line)).replace(chr(EMPTY), " ").rstrip() for line in cells]
    return _labelled(drawn, f"{high:.4g}", f"{low:.4g}", f"{steps[0]:g}", f"{steps[-1]:g}", width)


def _spread(steps: Sequence[float], values: Sequence[float], columns: int) -> list[float]:
    """The values at so many steps that are evenly apart, on the lines between those that are known."""
    found, right = list[float](), 0
    for column in range(columns):
        at = steps[0] + (steps[-1] - steps[0]) * column / max(columns - 1, 1)
        while right < len(steps) - 1 and steps[right] < at:
            right += 1
        left = max(right - 1, 0)
        gap = steps[right] - steps[left]
        share = (at - steps[left]) / gap if gap else 1.0
        found.append(values[left] + share * (values[right] - values[left]))
    return found


def _level(value: float, low: float, high: float, rows: int) -> int:
    """The row of dots of a value, from the top."""
    return round((high - value) / (high - low) * (rows - 1)) if high > low else rows - 1


def _labelled(drawn: list[str], top: str, foot: str, first: str, last: str, width: int) -> list[str]:
    wide = max(len(top), len(foot))
    names = [top, *[""] * (len(drawn) - 2), foot] if len(drawn) > 1 else [top]
    lines = [f"{name:>{wide}} |{line}".rstrip() for name, line in zip(names, drawn, strict=True)]
    return [*lines, f"{'':{wide + 2}}{first}{last:>{max(width - len(first), len(last) + 1)}}"]
