"""Measured figures of the README and the pages come from files of results; none is typed by hand."""

import re
from pathlib import Path

import pytest

from benchmarks.results.command import BLOCK, pages
from benchmarks.results.dependence import ROOT

NOT_TYPED = re.compile(r"```.*?```|<!-- (?:settings|output).*?-->\n+(?:\|.*\n)+|`[^`\n]*`", re.DOTALL)
UNIT = (
    r"(?:%|percent|milliseconds|nats|points|MFLOPs|GFLOPs?|GB|ms|us|s of"
    r"|times (?:as|sooner|faster|slower|the|more|fewer))"
)
MEASURED = re.compile(rf"(?<![\w.-])(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?: ± [\d.]+| to [\d.]+)? ?{UNIT}(?!\w)")
IN_CELLS = re.compile(r"(?<![\w.])\d*\.\d+")
SETTINGS = {
    "": ("95 %",),  # of an interval
    "docs/design.md": (
        "72 %",
        "28 %",
        "0.01 nats",
        "2 %",
        "0.4 times the",
        "0.6 times that",
        "0.002 to 0.4 nats",
        "12 nats",
    ),
    "docs/how-to/designs.md": (".05 nats", "5 %"),
    "docs/how-to/large.md": ("1.2 GB", "77 GB", "35 GB", "33 GB"),
    "docs/how-to/pictures.md": ("0.005 nats", "0.01 nats"),
    "docs/how-to/stop.md": (".1 points",),
    "docs/how-to/train.md": ("2 %",),
    "docs/results.md": ("0.01 nats",),
}
"""Page -> what looks measured and is a definition, a default, or arithmetic; "" is any page."""


def typed(text: str, allowed: tuple[str, ...] = ()) -> list[str]:
    """Figures of a page that stand in no table of results."""
    found = list[str]()
    for line in NOT_TYPED.sub("", BLOCK.sub("", text)).splitlines():
        if line.startswith("    "):
            continue
        found += MEASURED.findall(line) or (IN_CELLS.findall(line) if line.startswith("|") else [])
    return [figure for figure in found if figure not in allowed]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_figure_is_typed_by_hand(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    assert typed(page.read_text(), (*SETTINGS[""], *SETTINGS.get(name, ()))) == [], (
        "figures come from docs/results by `python -m benchmarks.results`, dated ones stand in docs/log.md; "
        "a table of options begins with <!-- settings -->"
    )


@pytest.mark.parametrize(
    "text",
    [
        *("It reaches 91.4 % of it.", "It gains .05 nats.", "2 points", "11 times sooner", "| a | 3.1 |"),
        "<!-- results: none -->\n<!-- end of results --> and 12 %",
    ],
)
def test_a_typed_figure_is_found(text: str) -> None:
    assert len(typed(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("| a | 3 |", "`--share 20 %`", "at t = 5 of 16 pixels", "    prints 97.1 %\n", "95 %"),
        "<!-- results: none -->\n| a | 3.1 |\n<!-- end of results -->",
        "<!-- settings -->\n\n| rate | 0.001 |\n",
    ],
)
def test_what_is_not_measured_is_left_alone(text: str) -> None:
    assert typed(text, SETTINGS[""]) == []
