"""The documentation: what it shows runs, what it names exists, where it points there is something."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
from docs_pages import (
    DOCS,
    PAGES,
    ROOT,
    blocks,
    command_lines,
    error_messages,
    faults,
    links,
    messages,
    name_of,
)
from PIL import Image

import boed.cli.main
import hardattn
import hardattn.cli.main
from benchmarks.readme import refreshed, source
from data import DATASETS, DataSet, load
from docs.docstrings import shown
from docs.hooks import MAP, REFERENCE, file_map, outside_requests, reference_pages, summary

MAPPED = ("data", "supervision", "boed", "hardattn", "benchmarks")
MODULES = [path for package in MAPPED for path in sorted((ROOT / package).rglob("*.py")) if path.read_text()]
GROUPS: dict[str, click.Command] = {"boed": boed.cli.main.main, "hardattn": hardattn.cli.main.main}
TEXT = "\n".join(page.read_text() for page in PAGES)
TINY = {
    'load("digits")': 'few(load("digits"))',
    "iterations=600": "iterations=4",
    "iterations=2500": "iterations=4",
    "minutes=2": "epochs=1",
}


def few(dataset: DataSet) -> DataSet:
    """The same task with some of its images."""
    counts = {"design": 12, "train": 200, "valid": 20, "test": 20}

    def opener(split: str) -> Any:
        return lambda: dataset[split].take(dataset[split].ids.argsort()[: counts[split]])

    openers = {split: opener(split) for split in counts}
    return DataSet(dataset.name, dataset.target, dataset.classes, dataset.geometry, dataset.glimpses, openers)


def execute(code: str, file: str, namespace: dict[str, Any]) -> None:
    """Runs what a reader would run, with the settings of `TINY`."""
    for long, short in TINY.items():
        code = code.replace(long, short)
    exec(compile(code, file, "exec"), namespace)


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOED_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of the digits, and two of their images, as the pages take them."""
    folder, digits = tmp_path_factory.mktemp("network"), few(load("digits"))
    hardattn.train(digits, budget=hardattn.Budget(epochs=1), device="cpu").save(folder / "network")
    for name, image in zip(("one", "two"), digits["test"].images[..., 0].numpy(), strict=False):
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


@pytest.mark.usefixtures("in_empty_folder")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_examples_run(page: Path, request: pytest.FixtureRequest) -> None:
    namespace: dict[str, Any] = {"few": few}
    if 'load("network")' in page.read_text():
        shutil.copytree(request.getfixturevalue("network"), ".", dirs_exist_ok=True)
    for block in blocks(page):
        if block.language == "python" and not block.reason:
            execute("\n" * (block.line - 1) + block.body, name_of(page), namespace)


@pytest.mark.usefixtures("in_empty_folder")
def test_the_first_steps_run(capsys: pytest.CaptureFixture[str]) -> None:
    execute(source("first_steps.py"), "first_steps.py", {"few": few})
    assert "accuracy after each glimpse" in capsys.readouterr().out


def test_pages_show_the_examples_as_they_are() -> None:
    for page in PAGES:
        assert refreshed(page.read_text(), source, None) == page.read_text(), name_of(page)


def test_an_example_and_its_output_are_put_where_they_are_marked() -> None:
    page = "<!-- example: a.py; slow -->\n```python\n1\n```\n\n<!-- output: a.py -->\n```text\n2\n```\n"
    fresh = refreshed(page, lambda file: f"code of {file}\n", lambda file: f"output of {file}\n")
    assert fresh == page.replace("1\n", "code of a.py\n").replace("2\n", "output of a.py\n")


def of_module(name: str) -> click.Command:
    """What `python -m NAME` runs: of a package, what stands in its `__main__`."""
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
    command: click.Command = module.main
    return command


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page: Path) -> None:
    commands = dict(GROUPS)
    for line in command_lines(page):
        program = line.split()[2] if line.startswith("python") else line.split()[0]
        if program not in commands:
            commands[program] = of_module(program)
        assert not faults(line, commands), line


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("boed fit --width 8", []),
        ("boed fits", ["fits"]),
        ("hardattn train --minuets 3 # how long", ["--minuets"]),
        ("hardattn train --baseline cnm --width=2", ["--baseline cnm"]),
        ("hardattn evaluate RUN --device", []),
        ("hardattn evaluate RUN --device cdua", ["--device cdua"]),
        ("hardattn train --method nogs-al --dataset digit", ["--method nogs-al", "--dataset digit"]),
        ("hardattn train --method nogs-all --dataset NAME", []),
    ],
)
def test_a_misspelt_command_is_noticed(line: str, missing: list[str]) -> None:
    assert faults(line, GROUPS) == missing


def test_every_command_is_shown() -> None:
    for name, group in GROUPS.items():
        assert isinstance(group, click.Group)
        for command in group.list_commands(click.Context(group)):
            assert f"{name} {command}" in TEXT, f"{name} {command}"


def test_every_data_set_is_described() -> None:
    assert not [name for name in DATASETS if f"`{name}`" not in TEXT]


def test_error_messages_are_those_of_the_code() -> None:
    known = {message for module in MODULES for message in error_messages(module)}
    described = messages(DOCS / "troubleshooting.md")
    assert len(described) > 15
    assert not described - known


@pytest.mark.parametrize("page", [*PAGES, DOCS / "log.md"], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    made = {DOCS / MAP, *(DOCS / REFERENCE / f"{package}.md" for package in reference_pages(ROOT))}
    targets = [(page.parent / link).resolve() for link in links(page)]
    assert not [str(target) for target in targets if target not in made and not target.exists()]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_pictures_are_small() -> None:
    assert not [path.name for path in DOCS.rglob("*.png") if path.stat().st_size > 150_000]


def test_the_first_line_of_a_module_is_a_sentence_for_the_map() -> None:
    assert not [str(path.relative_to(ROOT)) for path in MODULES if not summary(path).endswith((".", ":"))]


def test_the_map_has_every_module_once() -> None:
    lines = file_map(ROOT).splitlines()
    for name, folder in {(path.name, path.parent.relative_to(ROOT)) for path in MODULES}:
        if name != "__init__.py":
            start = lines.index("#" * (1 + len(folder.parts)) + f" {folder}/")
            section = lines[start + 1 :]
            end = next((n for n, line in enumerate(section) if line.startswith("#")), len(section))
            assert sum(line.startswith(f"| `{name}` |") for line in section[:end]) == 1, folder / name


def test_the_reference_has_every_module_but_those_of_the_command_line() -> None:
    text = "\n".join(reference_pages(ROOT).values())
    assert "::: data.grid\n" in text
    assert "`from data import DATASETS, " in text
    assert "cli" not in text and "__main__" not in text


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://a.org/b.js"></script>',
        "<img alt='x' src=//a.org/b.png>",
        '<link rel="stylesheet" href="https://a.org/c.css">',
        "<style>@font-face { src: url(https://a.org/d.woff2) }</style>",
    ],
)
def test_a_page_that_asks_elsewhere_is_noticed(html: str) -> None:
    assert len(outside_requests(html)) == 1
    assert not outside_requests(html.replace("https://a.org", "..").replace("//a.org", ".."))


def test_a_link_is_no_request() -> None:
    assert not outside_requests('<a href="https://a.org">a</a> <img src="b.png">')


def test_products_are_no_emphasis() -> None:
    assert shown("(S*C, G) and (S*C) are *not* `S*C`") == "(S\\*C, G) and (S\\*C) are *not* `S*C`"


def test_examples_in_docstrings_are_fenced() -> None:
    docstring = "Twice $x + \\alpha$.\n\n    >>> twice(2)\n    4\n\nArgs:\n    x: number."
    assert shown(docstring) == (
        "Twice `x + \\alpha`.\n\n    ```pycon\n    >>> twice(2)\n    4\n    ```\n\nArgs:\n    x: number."
    )
