"""The page of `hardattn report` in a real browser; skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_tiny import digits_runs, trained, write_frontier

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


FRONTIER = ["hardattn", "frontier", "--minutes", "3"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A page on four runs and a frontier, with an odd class name, and the figures that it shows."""
    folder = tmp_path_factory.mktemp("browser")
    runs = digits_runs(folder)
    write_frontier(folder / "frontier.json", dataset="digits", target="label", command=FRONTIER)
    found = collect(list(runs.values()), images=2, device="cpu")
    found["tasks"][0]["classes"][7] = NASTY
    found["tasks"][0]["runs"][-1]["commands"]["train"] = None
    return write_page(folder / "report.html", found, "hardattn report"), found


@pytest.fixture
def seen(browser: Browser, made: tuple[Path, dict[str, Any]]) -> Iterator[Page]:
    """The page, opened from its file; afterwards nothing was complained of, and nothing loaded."""
    page, said, asked = (
        browser.new_page(reduced_motion="reduce"),
        list[str](),
        list[str](),
    )  # no slow scrolling
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


def short(value: float) -> str:
    """A figure as the page prints it: whole, or with three digits."""
    if value == int(value) or value >= 100:
        return f"{round(value):,}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def figures(evaluation: dict[str, Any]) -> dict[str, tuple[float | None, Callable[[float], str]]]:
    """Figure -> value after the last glimpse, as evaluation.json has it, and how it is printed."""
    fixed = [point for point in evaluation["curve"] if point["rule"] == "fixed"]
    last = max(fixed, key=lambda point: point["threshold"])
    convergence = ("iterations_to_convergence", "seconds_to_convergence")
    accuracy = {f"accuracy_at.{t}": (evaluation["accuracy_at"].get(t), percent) for t in ("1", "2")}
    return accuracy | {
        "nll": (list(evaluation["nll_at"].values())[-1], "{:.3f}".format),
        "mflops": (last["mflops"], short),
        **{name: (last[name], percent) for name in ("balanced_accuracy", "calibration_error")},
        **{name: (evaluation[name], short) for name in ("parameters", *convergence)},
    }


def test_the_table_has_the_figures(seen: Page, made: tuple[Path, dict[str, Any]]) -> None:
    """MFLOPs are those of the curve, where the class is said once."""
    for run in made[1]["tasks"][0]["runs"]:
        cells = seen.locator(f".figures td[data-run='{run['label']}']")
        read = (
            "cells => cells.map(({dataset, textContent}) => [dataset.figure, [dataset.value, textContent]])"
        )
        shown = dict(cells.evaluate_all(read))
        wanted = figures(run["evaluation"])
        assert shown.keys() == wanted.keys()
        for name, (value, print_) in wanted.items():
            exact, text = shown[name]
            assert text == ("" if value is None else print_(value)), (run["label"], name)
            assert (None if exact is None else float(exact)) == value, (run["label"], name)
        once = wanted["mflops"][0]
        steps, each = len(run["evaluation"]["accuracy_at"]), run["evaluation"]["mflops_per_glimpse"]
        assert once is not None and (once < steps * each if steps > 1 else once == pytest.approx(each))


def test_the_commands_are_there(seen: Page, made: tuple[Path, dict[str, Any]]) -> None:
    task = made[1]["tasks"][0]
    *runs, unnoted = [run["commands"] for run in task["runs"]]
    shown = [f"{commands['train']}\n{commands['evaluate']}" for commands in runs]
    wanted = [*shown, unnoted["evaluate"], " ".join(FRONTIER)]
    assert seen.locator(".made pre").all_inner_texts() == wanted
    assert "Made from Python, or by a version that did not note it." in seen.inner_text(".made")


def test_the_table_of_a_frontier_has_what_validation_chose(
    seen: Page, made: tuple[Path, dict[str, Any]]
) -> None:
    [frontier] = made[1]["tasks"][0]["frontiers"]
    assert frontier["file"] in seen.inner_text(".frontier .note")
    rows = seen.locator(".points tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    wanted = [
        [
            point["family"],
            point["name"].removeprefix(f"{point['family']} "),
            short(point["mflops"]),
            percent(point["test_accuracy"]),
            " to ".join(map(percent, point["intervals"]["accuracy"]))
            if point["intervals"]
            else "\N{EN DASH}",
            short(point["pixels"]),
            made[1]["rules"][point["rule"]],
            short(point["threshold"]),
        ]
        for point in frontier["points"]
        if point["chosen"]
    ]
    assert rows == wanted and len(rows) == 2


def points(page: Page, part: str) -> list[tuple[float, float]]:
    marks = page.locator(f"[data-part={part}] .plot .mark")
    found = marks.evaluate_all("marks => marks.map(mark => [Number(mark.dataset.x), Number(mark.dataset.y)])")
    return sorted((x, y) for x, y in found)


def test_every_chart_has_its_points(seen: Page, made: tuple[Path, dict[str, Any]]) -> None:
    task = made[1]["tasks"][0]
    others = seen.locator("[data-part=compute] .rules [aria-pressed=false]")
    while others.count():  # rules that are not shown at first
        others.first.click()
    every = [point for run in task["runs"] for point in run["evaluation"]["curve"]]
    every += [point for one in task["frontiers"] for point in one["points"]]
    wanted = sorted((point["mflops"], 100 * point["accuracy"]) for point in every)
    assert points(seen, "compute") == wanted
    seen.click("[data-part=compute] [data-key=nll]")
    known = [point for point in every if point["nll"] is not None]
    assert points(seen, "compute") == sorted((point["mflops"], point["nll"]) for point in known)
    for against in ("iteration", "seconds"):
        seen.click(f"[data-part=training] [data-key={against}]")
        log = [(line[against], line["nll"]) for run in task["runs"] for line in run["log"]]
        assert points(seen, "training") == sorted(log)
    lines = [line for run in task["runs"] for line in run["log"]]
    seen.click("[data-part=training] [data-key=accuracy]")
    accuracies = sorted((line["seconds"], 100 * line["accuracy"]) for line in lines)
    assert points(seen, "training") == pytest.approx(accuracies)
    seen.click("[data-part=training] [data-key=classification]")
    known_terms = [line for line in lines if "classification" in line["terms"]]
    wanted = sorted((line["seconds"], line["terms"]["classification"]) for line in known_terms)
    assert wanted and points(seen, "training") == wanted


def settled(page: Page, part: str) -> None:
    """A chart in the window, drawn for the width that it has: drawing it again would close its read-out."""
    page.locator(f"[data-part={part}] .plot").scroll_into_view_if_needed()
    page.wait_for_function(
        """part => {
          const plot = document.querySelector(`[data-part=${part}] .plot`);
          const drawn = plot.firstChild.viewBox.baseVal.width === Math.max(plot.clientWidth, 220);
          const { top } = plot.getBoundingClientRect(), still = String(top) === plot.dataset.top;
          plot.dataset.top = top;
          return drawn && still;
        }""",
        arg=part,
    )


def read_out(page: Page, part: str) -> str:
    tip = page.locator(f"[data-part={part}] .tip")
    tip.wait_for(state="visible")
    return tip.inner_text()


def test_a_chart_reads_out_its_points(seen: Page, made: tuple[Path, dict[str, Any]]) -> None:
    settled(seen, "training")
    seen.focus("[data-part=training] .plot svg")
    seen.keyboard.press("ArrowRight")
    first = made[1]["tasks"][0]["runs"][0]
    text = read_out(seen, "training")
    assert first["label"] in text and f"{first['log'][0]['nll']:.4f}" in text
    seen.keyboard.press("Escape")
    seen.wait_for_selector("[data-part=training] .tip", state="hidden")
    settled(seen, "compute")
    seen.locator("[data-part=compute] .mark").first.hover(force=True)  # a mark may be below another
    assert "MFLOPs" in read_out(seen, "compute")


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


def test_crops_have_their_histograms_and_the_accuracy_after_each(browser: Browser, tmp_path: Path) -> None:
    small = ["--method", "multiglimpse", "--magnification", "5", "--hidden", "8"]
    found = collect([trained(tmp_path, "multiglimpse-0", small)], images=1, device="cpu")
    (run,) = found["tasks"][0]["runs"]
    page = browser.new_page()
    page.goto(write_page(tmp_path / "crops.html", found, "hardattn report").as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    for name, low in (("s", 0), ("x", -1), ("y", -1)):
        page.click(f"[data-part=crops] [data-key={name}]")
        size = (1 - low) / 20
        wanted = [(low + (n + 0.5) * size, 100 * share) for n, share in enumerate(run["crops"][0][name])]
        assert [round(part, 6) for point in points(page, "crops") for part in point] == pytest.approx(
            [part for point in wanted for part in point], abs=1e-6
        )
    page.click("[data-part=crops] [data-key=accuracy]")
    accuracies = run["evaluation"]["accuracy_at"]
    assert points(page, "crops") == [(int(t), 100 * share) for t, share in accuracies.items()]
    page.close()


def test_other_networks_have_no_crops(seen: Page) -> None:
    assert seen.locator("[data-part=crops]").count() == 0
