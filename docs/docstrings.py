"""Docstrings as the site shows them: examples as fenced blocks, equations as code.

Griffe, which reads the docstrings for mkdocstrings, calls `Docstrings.on_object`.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?P=indent)\S.*|\n(?P=indent) +\S.*)*", re.MULTILINE)
STAR = re.compile(
    r"```.*?```|`[^`]*`|(?P<star>(?<=[\w)])\*(?=[\w(])|(?<=/)\*)", re.DOTALL
)  # not one that begins *so*
EQUATION = re.compile(r"(?<![\\$`])\$([^$\n]+(?:\n[^$\n]+)*)\$(?!\$)")


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = shown(obj.docstring.value)


def starred(text: str) -> str:
    r"""The text with the stars of products and file names escaped, which Markdown takes for emphasis.

    >>> print(starred("*all* S*C of data/*.jpg and `T*C`"))
    *all* S\*C of data/\*.jpg and `T*C`
    """
    return STAR.sub(lambda match: r"\*" if match["star"] else match[0], text)


def shown(docstring: str) -> str:
    """The docstring with fences around its doctests, equations between backquotes, and stars that are stars.

    >>> shown("Twice $x$.")
    'Twice `x`.'
    """
    return starred(DOCTEST.sub(_fenced, EQUATION.sub(_code, docstring)))


def _fenced(example: re.Match[str]) -> str:
    indent = example["indent"]
    return f"{indent}```pycon\n{example[0]}\n{indent}```"


def _code(equation: re.Match[str]) -> str:
    return f"`{' '.join(equation[1].split())}`"
