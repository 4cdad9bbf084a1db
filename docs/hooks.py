"""What the documentation site makes for itself: file map, reference, and a check for outside requests.

MkDocs calls the functions whose names begin with `on_`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ("data", "supervision", "boed", "hardattn")
MAPPED = (*LIBRARY, "benchmarks")
NOT_REFERRED_TO = {"__main__", "cli"}  # command lines explain themselves by --help
MAP, REFERENCE = "file-map.md", "reference"
LOADED = re.compile(  # what a browser fetches by itself, as opposed to links that a reader follows
    r"""<(?:script|img|iframe|source|video|audio|embed|input)\b[^>]*?\bsrc(?:set)?"""
    r"""\s*=\s*["']?(?P<src>[^"'\s>]+)"""
    r"""|<link\b[^>]*?\bhref\s*=\s*["']?(?P<href>[^"'\s>]+)"""
    r"""|(?:@import\s+|url\()["']?(?P<url>[^"')\s]+)""",
    re.IGNORECASE,
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fills the section of the reference with one page for each package."""
    pages = [{package: f"{REFERENCE}/{package}.md"} for package in reference_pages(ROOT)]
    for section in config.nav or []:
        if "Reference" in section:
            section["Reference"] = pages
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made, not typed."""
    files.append(File.generated(config, MAP, content=file_map(ROOT)))
    for package, content in reference_pages(ROOT).items():
        files.append(File.generated(config, f"{REFERENCE}/{package}.md", content=content))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuses a page that would fetch anything from another place.

    Raises:
        PluginError: it would; the message names what.
    """
    outside = outside_requests(output)
    if outside:
        raise PluginError(f"{page.file.src_uri}: expected nothing from outside, found {', '.join(outside)}")
    return output


def outside_requests(html: str) -> list[str]:
    """Addresses on other machines that a browser fetches when it opens this page.

    >>> outside_requests('<a href="https://a.org">a</a><img src="b.png"><script src="//c.org/d.js"></script>')
    ['//c.org/d.js']
    """
    fetched = (next(filter(None, match.groups())) for match in LOADED.finditer(html))
    return [address for address in fetched if re.match(r"(?:[a-z]+:)?//", address, re.IGNORECASE)]


def file_map(root: Path) -> str:
    """Every module with the first line of its docstring, package by package, as Markdown."""
    lines = [
        "# File map",
        "",
        "Made from the first line of each module's docstring when the site is built.",
        "",
    ]
    for package in MAPPED:
        for folder, modules in _by_folder(root, package).items():
            lines += [
                "#" * (1 + len(folder.parts)) + f" {folder}/",
                "",
                summary(root / folder / "__init__.py"),
                "",
            ]
            lines += ["| module | |", "| --- | --- |"]
            lines += [f"| `{path.name}` | {_cell(summary(path))} |" for path in modules]
            lines.append("")
    lines += ["## tests/", "", "One file per module, and end to end.", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that means itself in a table of Markdown."""
    return re.sub(r"[|*]", r"\\\g<0>", text)


def reference_pages(root: Path) -> dict[str, str]:
    """Package, with dots -> its page: the docstrings of its modules, read without importing them."""
    pages = {}
    for package in LIBRARY:
        for folder, modules in _by_folder(root, package).items():
            if NOT_REFERRED_TO.isdisjoint(folder.parts):
                name = ".".join(folder.parts)
                names = [f"{name}.{path.stem}" for path in modules if path.stem not in NOT_REFERRED_TO]
                about, offered = (
                    summary(root / folder / "__init__.py"),
                    exports(root / folder / "__init__.pyi"),
                )
                pages[name] = _reference(name, about, offered, names)
    return pages


def _reference(package: str, about: str, exported: list[str], modules: list[str]) -> str:
    names = f"`from {package} import {', '.join(exported)}`" if exported else ""
    blocks = [f"## {module}\n\n::: {module}\n    options: {{show_root_heading: false}}" for module in modules]
    return "\n\n".join(filter(None, [f"# {package}", about, names, *blocks])) + "\n"


def exports(stub: Path) -> list[str]:
    """The names in `__all__` of a package's `__init__.pyi`, where there is one."""
    statements = ast.parse(stub.read_text()).body if stub.exists() else []
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name("__all__")], value=ast.List(names) | ast.Tuple(names)):
                return [str(ast.literal_eval(name)) for name in names]
    return []


def summary(module: Path) -> str:
    """The first line of a module's docstring, or nothing."""
    docstring = ast.get_docstring(ast.parse(module.read_text())) if module.exists() else None
    return (docstring or "").partition("\n")[0]


def _by_folder(root: Path, package: str) -> dict[Path, list[Path]]:
    """Folder, relative to the root -> its modules that are more than a package's own file."""
    found: dict[Path, list[Path]] = {}
    for path in _modules(root, package):
        found.setdefault(path.parent.relative_to(root), []).append(path)
    return dict(sorted(found.items()))


def _modules(root: Path, package: str) -> Iterator[Path]:
    """Files that have a line in the map."""
    return (path for path in sorted((root / package).rglob("*.py")) if path.name != "__init__.py")
