import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.canvas import draws, place
from data.errors import SettingsError


def naive_place(
    digits: np.ndarray, own: np.ndarray, drawn: np.ndarray, canvas: int, piece_size: int
) -> np.ndarray:
    out = np.zeros((len(own), canvas, canvas), np.uint8)
    _, height, width = digits.shape

    def paste(n: int, patch: np.ndarray, numbers: np.ndarray) -> None:
        row = int(numbers[0] * (canvas - patch.shape[0] + 1))
        col = int(numbers[1] * (canvas - patch.shape[1] + 1))
        target = out[n, row : row + patch.shape[0], col : col + patch.shape[1]]
        np.maximum(target, patch, out=target)

    for n, digit in enumerate(own):
        paste(n, digits[digit], drawn[n, :2])
        others = np.delete(np.arange(len(digits)), digit)
        for numbers in drawn[n, 2:].reshape(-1, 5):
            source = digits[others[int(numbers[0] * len(others))]]
            row = int(numbers[1] * (height - piece_size + 1))
            col = int(numbers[2] * (width - piece_size + 1))
            paste(n, source[row : row + piece_size, col : col + piece_size], numbers[3:])
    return out


@given(st.integers(2, 5), st.integers(0, 3), st.integers(6, 12), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_place_equals_a_loop(count: int, pieces: int, canvas: int, piece_size: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    digits = generator.integers(0, 256, (count, 6, 4), dtype=np.uint8)
    own = generator.integers(0, count, 7)
    drawn = draws(7, pieces, generator=generator)
    expected = naive_place(digits, own, drawn, canvas, piece_size)
    assert np.array_equal(place(digits, own, drawn, canvas, piece_size), expected)


def test_rows_do_not_depend_on_how_they_are_batched() -> None:
    digits = np.random.default_rng(0).integers(0, 256, (5, 6, 6), dtype=np.uint8)
    own, drawn = np.arange(5), draws(5, 2, generator=np.random.default_rng(1))
    whole = place(digits, own, drawn, 20, 3)
    parts = [place(digits, own[rows], drawn[rows], 20, 3) for rows in ([4, 0], [2], [])]
    assert np.array_equal(np.concatenate(parts), whole[[4, 0, 2]])


def test_every_position_is_reached_and_none_is_preferred() -> None:
    digits = np.full((1, 2, 2), 255, np.uint8)
    drawn = draws(4000, 0, generator=np.random.default_rng(0))
    corners = place(digits, np.zeros(4000, np.int64), drawn, 4, 1).reshape(4000, -1).argmax(1)
    counts = np.bincount(corners, minlength=16).reshape(4, 4)
    assert counts[3].sum() + counts[:, 3].sum() == 0  # the digit lies wholly inside
    assert counts[:3, :3].min() > 0.8 * 4000 / 9


def test_clutter_never_comes_from_the_digit_itself() -> None:
    digits = np.stack([np.full((4, 4), 1 + n, np.uint8) for n in range(3)])
    canvases = place(digits, np.full(200, 1), draws(200, 1, generator=np.random.default_rng(0)), 12, 2)
    apart = [set(np.unique(canvas)) - {0, 2} for canvas in canvases]
    assert {frozenset(values) for values in apart} == {frozenset(), frozenset({1}), frozenset({3})}
    assert all((canvas == 2).sum() >= 16 - 4 for canvas in canvases)


@pytest.mark.parametrize(
    ("count", "canvas", "piece_size", "message"),
    [(2, 5, 2, "canvas of at least 6"), (2, 9, 7, "pieces of 1 to 6"), (1, 9, 2, "at least 2 digits")],
)
def test_what_does_not_fit_is_refused(count: int, canvas: int, piece_size: int, message: str) -> None:
    drawn = draws(1, 1, generator=np.random.default_rng(0))
    with pytest.raises(SettingsError, match=message):
        place(np.zeros((count, 6, 6), np.uint8), np.zeros(1, np.int64), drawn, canvas, piece_size)
