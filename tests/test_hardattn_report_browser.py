"""The page of `hardattn report` in a real browser; skipped where there is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_tiny import digits_runs

from hardattn.report.contents import collect
from hardattn.report.page import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NASTY = "</script><b>7"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed (apt-get install chromium)")
    driver = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    with driver.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=program)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A page on four runs and a frontier, with an odd class name, and the figures that it shows."""
    folder = tmp_path_factory.mktemp("browser")
    runs = digits_runs(folder)
    point = {
        "family": "cnn",
        "name": "cnn-1",
        "rule": "fixed",
        "threshold": 1,
        "mflops": 2.0,
        "test_accuracy": 0.5,
    }
    points = [point, point | {"name": "cnn-2", "mflops": 3.0, "test_low": 0.4, "test_high": 0.6}]
    frontier = {"points": points, "frontiers": {"cnn": [0]}}
    (folder / "frontier.json").write_text(json.dumps(frontier))
    found = collect(list(runs.values()), images=2, device="cpu")
    found["tasks"][0]["classes"][7] = NASTY
    return write_page(folder / "report.html", found, "hardattn report"), found


@pytest.fixture
def seen(browser: Browser, made: tuple[Path, dict[str, Any]]) -> Iterator[Page]:
    """The page, opened from its file; afterwards nothing was complained of, and nothing loaded."""
    page, said, asked = browser.new_page(), list[str](), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    address = made[0].as_uri()
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached")
    yield page
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]


def step(page: Page) -> int:
    return int(page.get_attribute(".player", "data-step") or -1)


def test_the_player_steps_by_button_key_and_slider(seen: Page, made: tuple[Path, dict[str, Any]]) -> None:
    walk = made[1]["tasks"][0]["runs"][0]["walks"][0]
    assert step(seen) == 2 and seen.locator(".window").count() == 2
    seen.click("[data-act=back]")
    assert step(seen) == 1 and seen.locator(".window").count() == 2  # one was seen, one is next
    assert seen.locator(".window.next").count() == 1
    shown = seen.get_attribute(".window.now", "y"), seen.get_attribute(".window.now", "x")
    assert [int(value or -1) for value in shown] == walk["locations"][0]
    assert seen.get_attribute(".seen img", "src") == walk["glimpses"][0][0]
    seen.focus(".player")
    seen.keyboard.press("ArrowLeft")
    assert step(seen) == 0 and seen.is_disabled("[data-act=back]")
    seen.keyboard.press("ArrowRight")
    assert step(seen) == 1
    seen.focus(".keys input")
    seen.keyboard.press("ArrowRight")
    assert step(seen) == 2 and seen.is_disabled("[data-act=on]")


def test_the_player_plays_to_the_end(seen: Page) -> None:
    seen.click("[data-act=play]")
    seen.wait_for_selector(".player[data-step='0']")
    seen.wait_for_selector(".player[data-step='2']", timeout=10_000)


def test_the_player_shows_the_probabilities_of_any_image_and_method(
    seen: Page, made: tuple[Path, dict[str, Any]]
) -> None:
    task = made[1]["tasks"][0]
    runs = [run for run in task["runs"] if run["walks"]]
    for number, run in enumerate(runs):
        seen.click(f".player [aria-label=Method] [data-key='{number}']")
        for at, image in enumerate(task["images"]):
            seen.click(f".thumbs [data-image='{image['id']}']")
            values = seen.locator(".bars .value").all_inner_texts()
            wanted = run["walks"][at]["probabilities"][-1]
            assert [float(value.removesuffix(" %")) for value in values] == pytest.approx(
                [100 * value for value in wanted], abs=0.051
            )
            assert seen.locator(".stage canvas").count() == (run["map"] is not None)
    assert NASTY in seen.locator(".bars .name").all_inner_texts()


def test_the_table_has_the_figures(seen: Page, made: tuple[Path, dict[str, Any]]) -> None:
    for run in made[1]["tasks"][0]["runs"]:
        cells = seen.locator(f".figures td[data-run='{run['label']}']")
        shown = dict(
            cells.evaluate_all("cells => cells.map(cell => [cell.dataset.figure, cell.textContent])")
        )
        evaluation = run["evaluation"]
        for t in ("1", "2"):
            wanted = evaluation["accuracy_at"].get(t)
            assert shown[f"accuracy_at.{t}"] == ("" if wanted is None else f"{100 * wanted:.1f}")
        assert shown["nll"] == f"{list(evaluation['nll_at'].values())[-1]:.3f}"
        assert shown["parameters"] == f"{evaluation['parameters']:,}"
        assert shown["iterations_to_convergence"] == f"{evaluation['iterations_to_convergence']:,}"
    commands = seen.locator(".made pre").all_inner_texts()
    assert commands == [
        f"{run['commands']['train']}\n{run['commands']['evaluate']}" for run in made[1]["tasks"][0]["runs"]
    ]


def points(page: Page, part: str) -> list[tuple[float, float]]:
    marks = page.locator(f"[data-part={part}] .plot .mark")
    found = marks.evaluate_all("marks => marks.map(mark => [Number(mark.dataset.x), Number(mark.dataset.y)])")
    return sorted((x, y) for x, y in found)


def test_every_chart_has_its_points(seen: Page, made: tuple[Path, dict[str, Any]]) -> None:
    task = made[1]["tasks"][0]
    others = seen.locator("[data-part=compute] .rules [aria-pressed=false]")
    while others.count():  # rules that are not shown at first
        others.first.click()
    every = [point for run in task["runs"] for point in run["evaluation"]["curve"]] + task["frontier"]
    wanted = sorted((point["mflops"], 100 * point["accuracy"]) for point in every)
    assert points(seen, "compute") == wanted
    seen.click("[data-part=compute] [data-key=nll]")
    known = [point for point in every if point["nll"] is not None]
    assert points(seen, "compute") == sorted((point["mflops"], point["nll"]) for point in known)
    for against in ("iteration", "seconds"):
        seen.click(f"[data-part=training] [data-key={against}]")
        log = [(line[against], line["nll"]) for run in task["runs"] for line in run["log"]]
        assert points(seen, "training") == sorted(log)


def test_a_chart_reads_out_its_points(seen: Page, made: tuple[Path, dict[str, Any]]) -> None:
    seen.focus("[data-part=training] .plot svg")
    seen.keyboard.press("ArrowRight")
    first = made[1]["tasks"][0]["runs"][0]
    text = seen.inner_text("[data-part=training] .tip")
    assert first["label"] in text and f"{first['log'][0]['nll']:.4f}" in text
    seen.keyboard.press("Escape")
    assert seen.is_hidden("[data-part=training] .tip")
    seen.locator("[data-part=compute] .mark").first.hover(force=True)
    assert "MFLOPs" in seen.inner_text("[data-part=compute] .tip")


def test_heat_maps_are_painted(seen: Page, made: tuple[Path, dict[str, Any]]) -> None:
    looking = [run for run in made[1]["tasks"][0]["runs"] if run["heat"]]
    canvases = seen.locator(".heat canvas")
    assert canvases.count() == sum(len(run["heat"]) for run in looking)
    brightest = canvases.evaluate_all(
        "every => every.map(one => Math.max(...one.getContext('2d')"
        ".getImageData(0, 0, one.width, one.height).data.filter((_, at) => at % 4 === 3)))"
    )
    assert min(brightest) > 0


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_wider_than_the_window(seen: Page, width: int) -> None:
    seen.set_viewport_size({"width": width, "height": 800})
    assert seen.evaluate("document.documentElement.scrollWidth") <= width
