"""The page of a report: one file that opens without a network, everything in it."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from data.errors import SettingsError
from data.files import write_text

SCRIPTS = ("chart.js", "player.js", "page.js")


def page(contents: dict[str, Any], command: str = "") -> str:
    """HTML that shows what `hardattn.report.contents.collect` found, drawn from the same figures as JSON.

    Args:
        command: that makes the page, shown at its head.

    >>> made = page({"tasks": [{"name": "</script>"}]})
    >>> made.count("</script>") == made.count("<script")
    True
    """
    names = dict.fromkeys(task["name"] for task in contents["tasks"])
    return Template(_read("report.html")).substitute(
        title=escape(" and ".join(names)),
        command=escape(command),
        style=_read("report.css"),
        script="\n".join(map(_read, SCRIPTS)),
        data=embedded(contents),
    )


def embedded(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends the element, or begins a comment.

    >>> embedded({"class": "</script>"})
    '{"class":"\\\\u003c/script>"}'
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def write_page(path: Path, contents: dict[str, Any], command: str = "") -> Path:
    """Writes the page beside its name and then renames it.

    Raises:
        SettingsError: the path is a folder.
    """
    require_file(path)
    write_text(path, page(contents, command))
    return path


def require_file(path: Path) -> None:
    """Raises SettingsError where a file is to be written and a folder is."""
    if path.is_dir():
        raise SettingsError(f"expected a file to write to, found the folder {path}; set --out to a file")


def _read(name: str) -> str:
    return (files("hardattn.report") / "templates" / name).read_text(encoding="utf-8")
