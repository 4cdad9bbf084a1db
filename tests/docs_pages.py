"""What the README and the pages of the documentation hold: fenced blocks, command lines and links."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
HISTORY = {"docs/log.md"}  # says what was so then
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted(DOCS.rglob("*.md")) if str(page.relative_to(ROOT)) not in HISTORY),
]
FENCE = re.compile(
    r"(?:<!-- (?P<remark>[^>]*?) -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
COMMAND = re.compile(r"(?:boed|hardattn|python -m benchmarks\.\w+) .*")
LAUNCHER = re.compile(r"^(torchrun|accelerate launch) .*?-m (-- )?")
"""Starts several processes of the command that follows."""
NOT_RUN = "not run here: "


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        line: of the page, at which the body begins.
        reason: why it is not run, "" where it is.
    """

    page: Path
    line: int
    language: str
    body: str
    reason: str


def name_of(page: Path) -> str:
    """Of a page, for messages."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("body")) + 1
        reason = (fence["remark"] or "").partition(NOT_RUN)[2]
        yield Block(page, line, fence["language"], fence["body"], reason)


def command_lines(page: Path) -> Iterator[str]:
    """Every call of a command on a page: in blocks after `$`, in indented blocks, and in running text."""
    text = page.read_text()
    for block in blocks(page):
        lines = block.body.replace("\\\n", " ").splitlines()
        if block.language == "console":
            yield from (LAUNCHER.sub("", line.removeprefix("$ ")) for line in lines if line.startswith("$ "))
        elif block.language == "bash":
            yield from (line for line in lines if COMMAND.fullmatch(line))
    text = FENCE.sub("", text)
    indented = (line.strip() for line in text.splitlines() if line.startswith("    "))
    inline = (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text))
    yield from (code for code in (*indented, *inline) if COMMAND.fullmatch(code) and "──" not in code)


def faults(line: str, commands: dict[str, click.Command]) -> list[str]:
    """What a call names that does not exist: a command, an option, or a value of an option with choices.

    Args:
        line: as typed in a shell.
        commands: program -> its command; `python -m X` is the program X.
    """
    words = shlex.split(line, comments=True)
    words = words[2:] if words[:2] == ["python", "-m"] else words
    command, rest, found = commands[words[0]], words[1:], []
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        inner = command.get_command(click.Context(command), name)
        if inner is None:
            return [] if name == "..." else [name]
        command = inner
    options = {name: option for option in command.params for name in (*option.opts, *option.secondary_opts)}
    for word, following in zip(rest, [*rest, ""][1:], strict=True):
        name = word.partition("=")[0]
        if not name.startswith("--") or name == "--help":
            continue
        if name not in options:
            found.append(name)
        elif not _is_choice(options[name].type, following):
            found.append(f"{name} {following}")
    return found


def _is_choice(kind: object, word: str) -> bool:
    """Whether an option of this type takes the word, or the word is not meant literally, as DIR."""
    literal = bool(word) and not word.startswith("-") and not word.isupper()
    choices = getattr(kind, "choices", None)  # of click.Choice, and of the types of `data.cli.options`
    return not literal or choices is None or word in choices


def links(page: Path) -> Iterator[str]:
    """Relative targets of links and pictures, without their anchors."""
    text = re.sub(r"`[^`]*`", "", FENCE.sub("", page.read_text()))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path = target.partition("#")[0]
        if path and "://" not in path:
            yield path


def messages(page: Path) -> set[str]:
    """What stands in the first column of a page's tables and begins as an error does."""
    return set(re.findall(r"^\| `(expected [^`]+)` \|", page.read_text(), re.MULTILINE))


def error_messages(module: Path) -> Iterator[str]:
    """The strings of a module, errors among them, up to what is to be done; "..." for what varies."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.JoinedStr | ast.Constant):
            pieces = getattr(node, "values", [node])
            text = "".join(str(p.value) if isinstance(p, ast.Constant) else "..." for p in pieces)
            text = text.removeprefix("error: ").replace("... ...", "...")
            yield re.split(r"; (?!found)", text)[0]
