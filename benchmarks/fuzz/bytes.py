"""Inputs for `benchmarks.fuzz` that know no format: bytes flipped, cut, swapped, put in, or made up."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

LARGEST = 600  # bytes that are put in or made up


@dataclass(frozen=True)
class Input:
    """A file that is tried.

    Attributes:
        content: its bytes.
        how: it was made, for the report.
        sealed: whether the checksums of its format are right again: another answer is then the right one.
    """

    content: bytes
    how: str
    sealed: bool = False


Strategy = st.SearchStrategy[Input]


def sealed(contents: st.SearchStrategy[bytes], how: str) -> Strategy:
    """Inputs whose format has no checksums, or whose checksums are right."""
    return contents.map(lambda content: Input(content, how, sealed=True))


def unsealed(contents: st.SearchStrategy[bytes], how: str) -> Strategy:
    """Inputs whose checksums, where their format has any, are those of the whole file."""
    return contents.map(lambda content: Input(content, how))


def damaged(whole: bytes) -> st.SearchStrategy[Input]:
    """Whole bytes with one kind of damage."""
    return st.sampled_from(sorted(DAMAGES)).flatmap(
        lambda how: DAMAGES[how](whole).map(lambda content: Input(content, how))
    )


def made_up(starts: tuple[bytes, ...]) -> st.SearchStrategy[Input]:
    """Bytes from nothing, some of which begin as a format does."""
    content = st.tuples(st.sampled_from((b"", *starts)), st.binary(max_size=LARGEST)).map(b"".join)
    return content.map(lambda made: Input(made, "made up"))


def _place(whole: bytes) -> st.SearchStrategy[int]:
    """Where: half of the time near the beginning, where the headers are."""
    last = max(0, len(whole) - 1)
    return st.integers(0, last) | st.integers(0, min(last, 256))


def _flipped(whole: bytes) -> st.SearchStrategy[bytes]:
    def flip(bits: list[tuple[int, int]]) -> bytes:
        changed = bytearray(whole)
        for place, bit in bits:
            changed[place] ^= 1 << bit
        return bytes(changed)

    return st.lists(st.tuples(_place(whole), st.integers(0, 7)), min_size=1, max_size=6).map(flip)


def _cut(whole: bytes) -> st.SearchStrategy[bytes]:
    return _place(whole).map(lambda end: whole[:end]) | _place(whole).map(
        lambda end: whole[: len(whole) - end]
    )


def _beheaded(whole: bytes) -> st.SearchStrategy[bytes]:
    return _place(whole).map(lambda start: whole[start + 1 :])


def _swapped(whole: bytes) -> st.SearchStrategy[bytes]:
    def swap(places: tuple[int, int, int]) -> bytes:
        one, other, size = places
        one, other = sorted((one, other))
        size = min(size, other - one)
        parts = (whole[:one], whole[other : other + size], whole[one + size : other], whole[one : one + size])
        return b"".join((*parts, whole[other + size :]))

    return st.tuples(_place(whole), _place(whole), st.integers(1, 64)).map(swap)


def _put_in(whole: bytes) -> st.SearchStrategy[bytes]:
    pair = st.tuples(_place(whole), st.binary(min_size=1, max_size=LARGEST))
    return pair.map(lambda found: whole[: found[0]] + found[1] + whole[found[0] :])


def _repeated(whole: bytes) -> st.SearchStrategy[bytes]:
    pair = st.tuples(_place(whole), st.integers(1, LARGEST))
    return pair.map(lambda found: whole[: sum(found)] + whole[found[0] :])


def _overwritten(whole: bytes) -> st.SearchStrategy[bytes]:
    values = st.sampled_from([b"\0", b"\xff", b"\x7f", b"\x80", b" "])
    triple = st.tuples(_place(whole), st.integers(1, 16), values)
    return triple.map(lambda found: whole[: found[0]] + found[1] * found[2] + whole[found[0] + found[1] :])


DAMAGES = {
    "flipped": _flipped,
    "cut": _cut,
    "beheaded": _beheaded,
    "swapped": _swapped,
    "put in": _put_in,
    "repeated": _repeated,
    "overwritten": _overwritten,
}
