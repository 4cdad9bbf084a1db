"""Text, JSON and TOML for `benchmarks.fuzz`, with words, lines and values that are others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from benchmarks.fuzz.bytes import Strategy, damaged, made_up, sealed

DEEP = 100_000  # brackets within one another
WORDS = (
    *("", "-1", "0", "1", "2", "1.5", "nan", "inf", "-inf", "1e999", "99999999999999999999", "9" * 5000, "٣"),
    *(
        "\0",
        "é",
        "\ud800",
        "../../outside/victim",
        "/etc/hostname",
        "a" * 5000,
        "0x10",
        "1_0",
        "1,2",
        "$x_1$",
    ),
    *("true", "[]", "\u2028", "-0", "+1", "1.jpg", "../1.jpg", "0.5", "\x1b[31m", "null", "2e9", "300"),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        3,
        1.5,
        1e308,
        10**30,
        2**63,
        float("nan"),
        float("inf"),
        "",
        "x",
        "a" * 5000,
    ),
    *(
        [],
        {},
        [[]],
        [None],
        [1, 2],
        ["x"],
        {"x": 1},
        "../../outside/victim",
        "$x$",
        "\ud800",
        -0.5,
        100_000,
        2**31,
    ),
)


def text_inputs(whole: bytes) -> Strategy:
    """Lines of words: of these one is replaced, a line is left out, told twice or moved; and raw bytes."""
    lines = whole.decode().split("\n")
    return sealed(_words(lines), "word") | sealed(_lines(lines), "line") | damaged(whole) | made_up(())


def _words(lines: list[str]) -> st.SearchStrategy[bytes]:
    spots = [(row, at) for row, line in enumerate(lines[:200]) for at in range(len(line.split(" ")))]

    def replace(found: tuple[tuple[int, int], str]) -> bytes:
        (row, at), word = found
        words = lines[row].split(" ")
        words[at] = word
        changed = [*lines[:row], " ".join(words), *lines[row + 1 :]]
        return "\n".join(changed).encode(errors="surrogatepass")

    return st.tuples(st.sampled_from(spots), st.sampled_from(WORDS) | st.text(max_size=20)).map(replace)


def _lines(lines: list[str]) -> st.SearchStrategy[bytes]:
    def change(found: tuple[int, int, str]) -> bytes:
        row, other, how = found
        line = lines[row]
        rest = [*lines[:row], *lines[row + 1 :]]
        changed = {
            "without": rest,
            "twice": [*lines[:row], line, *lines[row:]],
            "moved": [*rest[:other], line, *rest[other:]],
            "commas": [each.replace(" ", ",") for each in lines],
            "windows": [f"{each}\r" for each in lines],
        }[how]
        return "\n".join(changed).encode()

    place = st.integers(0, len(lines) - 1)
    hows = st.sampled_from(["without", "twice", "moved", "commas", "windows"])
    return st.tuples(place, place, hows).map(change)


def json_inputs(whole: bytes) -> Strategy:
    """JSON (or lines of it) with a value replaced, left out or renamed; too deep; and raw bytes."""
    *_, first = (
        [line for line in whole.decode().split("\n") if line] if whole.count(b"\n{") else [whole.decode()]
    )
    rest = whole.decode().removesuffix("\n").removesuffix(first)
    changed = replaced(json.loads(first)).map(lambda value: (rest + json.dumps(value) + "\n").encode())
    deep = st.sampled_from([b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP])
    return sealed(changed, "field") | sealed(deep, "deep") | damaged(whole) | made_up((b"{", b"[", b'{"'))


def replaced(value: Any) -> st.SearchStrategy[Any]:
    """JSON with one value changed, left out or under another name."""
    paths = list(_paths(value, ()))
    if not paths:
        return st.sampled_from(VALUES)

    def change(found: tuple[tuple[Any, ...], Any, str]) -> Any:
        path, new, how = found
        changed = deepcopy(value)
        owner = changed
        for step in path[:-1]:
            owner = owner[step]
        if how == "without":
            del owner[path[-1]]
        elif how == "renamed" and isinstance(owner, dict):
            owner[f"{path[-1]}_"] = owner.pop(path[-1])
        else:
            owner[path[-1]] = new
        return changed

    hows = st.sampled_from(["new", "new", "new", "without", "renamed"])
    return st.tuples(st.sampled_from(paths), st.sampled_from(VALUES), hows).map(change)


def _paths(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from _paths(inner, (*path, step))


def toml_inputs(whole: bytes) -> Strategy:
    """Lines of TOML with words replaced; too deep; and raw bytes."""
    deep = st.sampled_from([b"a = " + b"[" * DEEP, b"a = " + b"{a=" * DEEP, b"a." * DEEP + b"a = 1"])
    values = st.sampled_from(
        ["[1]", "{}", "1979-05-27", "true", "1e999", "nan", "'''\n'''", "-1", '"\\u0000"']
    )
    line = st.tuples(st.sampled_from(whole.decode().splitlines()), values)
    keyed = line.map(lambda found: whole + f"\n{found[0].partition('=')[0]}= {found[1]}\n".encode())
    names = whole.decode().splitlines()
    other = st.tuples(st.sampled_from(range(len(names))), values).map(
        lambda found: "\n".join(
            f"{line.partition('=')[0]}= {found[1]}" if row == found[0] and "=" in line else line
            for row, line in enumerate(names)
        ).encode()
    )
    fields = sealed(keyed, "field twice") | sealed(other, "field")
    return fields | sealed(deep, "deep") | text_inputs(whole)
