"""Docstrings as the site shows them: examples as fenced blocks, equations as code.

Griffe, which reads the docstrings for mkdocstrings, calls `Docstrings.on_object`.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?P=indent)\S.*|\n(?P=indent) +\S.*)*", re.MULTILINE)
EQUATION = re.compile(r"(?<![\\$`])\$([^$\n]+(?:\n[^$\n]+)*)\$(?!\$)")


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = shown(obj.docstring.value)


def shown(docstring: str) -> str:
    """The docstring with fences around its doctests, and equations between backquotes.

    >>> shown("Twice $x$.")
    'Twice `x`.'
    """
    return DOCTEST.sub(_fenced, EQUATION.sub(_code, docstring))


def _fenced(example: re.Match[str]) -> str:
    indent = example["indent"]
    return f"{indent}```pycon\n{example[0]}\n{indent}```"


def _code(equation: re.Match[str]) -> str:
    return f"`{' '.join(equation[1].split())}`"
