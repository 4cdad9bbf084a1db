"""Single pictures of what a report shows, as PNG files, from the same figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.drawing import figure_of
from data.errors import SettingsError
from data.files import write_atomically
from hardattn.report.crops import draw_crops
from hardattn.report.encoding import decoded, unpacked
from hardattn.report.heat import draw_heat
from hardattn.report.near_best import bars_of, draw_near_best
from hardattn.report.network_drawing import draw_network
from hardattn.report.panels import INSIDE, extent_of, image_panels
from hardattn.report.training_curves import draw_terms, draw_validation, term_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osv^D"
LINES = ("-", "--", ":", "-.")


def write_pictures(folder: Path, contents: dict[str, Any]) -> list[Path]:
    """Writes pictures of charts, of each method's heat maps and crops, and of walks; returns their paths.

    Args:
        folder: for the pictures, made where it is missing.
        contents: what `hardattn.report.contents.collect` gave.

    Raises:
        SettingsError: there is a file in place of the folder.
    """
    require_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written, labels = list[Path](), {rule: contents["rules"][rule] for rule in contents["shown"]}
    for task in contents["tasks"]:
        for name, draw in _pictures(task, labels).items():
            figure = _figure()
            draw(figure)
            written.append(_save(figure, folder / f"{_plain(task['name'])}-{name}.png"))
    return written


def require_folder(path: Path) -> None:
    """Raises SettingsError where a folder is needed and a file is."""
    if path.exists() and not path.is_dir():
        raise SettingsError(f"expected a folder for pictures, found the file {path}; set --out to a folder")


def _pictures(task: dict[str, Any], labels: dict[str, str]) -> dict[str, Callable[[Figure], None]]:
    """What is drawn of a task, by the name of its file."""
    drawn: dict[str, Callable[[Figure], None]] = {
        "compute": partial(_compute, task=task, labels=labels),
        "training-iterations": partial(draw_validation, task=task, against="iteration"),
        "training-seconds": partial(draw_validation, task=task, against="seconds"),
    }
    if term_names(task):
        drawn["training-terms"] = partial(draw_terms, task=task)
    if bars := bars_of(task):
        drawn["near-best-accuracy"] = partial(draw_near_best, bars=bars, title=task["name"])
    cropping = [run for run in task["runs"] if run["crops"]]
    if cropping:
        drawn["crops"] = partial(draw_crops, runs=cropping)
    if any(run["heat"] for run in task["runs"]):
        drawn["heat"] = partial(draw_heat, task=task)
        for run in task["runs"]:
            if run["walks"]:
                drawn[f"network-{_plain(run['label'])}"] = partial(draw_network, task=task, run=run)
        for number, image in enumerate(task["images"]):
            drawn[f"image-{image['id']}"] = partial(_walks, task=task, number=number)
    return drawn


def _compute(figure: Figure, task: dict[str, Any], labels: dict[str, str]) -> None:
    """Accuracy against MFLOPs: of every run by stopping rule, and of the frontier by family."""
    axes = figure.add_subplot()
    for number, run in enumerate(task["runs"]):
        points = [point for point in run["evaluation"]["curve"] if point["rule"] in labels]
        for order, rule in enumerate(dict.fromkeys(point["rule"] for point in points)):
            label = f"{run['label']}, {labels[rule]}"
            own = [point for point in points if point["rule"] == rule]
            _curve(axes, own, label, number, LINES[order % len(LINES)])
    chosen = [point for one in task["frontiers"] for point in one["points"] if point["chosen"]]
    for order, family in enumerate(dict.fromkeys(point["family"] for point in chosen)):
        own = [point for point in chosen if point["family"] == family]
        _curve(axes, own, f"frontier: {family}", len(task["runs"]) + order, ":")
    axes.set(xlabel="MFLOPs per image", ylabel="test accuracy, %", title=task["name"])
    _legend(axes)


def _curve(axes: Axes, points: list[dict[str, Any]], label: str, number: int, line: str) -> None:
    placed = sorted((point["mflops"], 100 * point["accuracy"]) for point in points)
    look: dict[str, Any] = {"marker": MARKERS[number % len(MARKERS)], "markersize": 3.5, "linewidth": 1.2}
    axes.plot(*zip(*placed, strict=True), line, label=label, color=f"C{number % 10}", **look)


def _walks(figure: Figure, task: dict[str, Any], number: int) -> None:
    """A row for every method: an image with its glimpses; the map before each, or else what it showed."""
    from matplotlib.patches import Rectangle

    runs = [run for run in task["runs"] if run["walks"]]
    panels = image_panels(figure, len(runs), 1 + max(len(run["heat"]) for run in runs))
    image, extent = decoded(task["images"][number]["picture"]), extent_of(task)
    for row, run in enumerate(runs):
        walk = run["walks"][number]
        panels[row, 0].imshow(image, cmap="gray", vmin=0, vmax=255, extent=extent)
        for t, (top, left, side) in enumerate(walk["locations"]):
            _map(panels[row, 1 + t], run, walk, t, extent)
            _gain(panels[row, 1 + t], run, walk, t)
            if side >= max(extent) and len(run["sensor"]["parts"]) == 1:
                continue  # a first glance at the whole image
            box = Rectangle((left, top), side, side, fill=False, edgecolor="gold")
            panels[row, 0].add_patch(box)
            panels[row, 0].text(left + side / 2, top + side / 2, str(t + 1), **INSIDE)
        said = int(np.argmax(walk["probabilities"][-1]))
        panels[row, 0].set_title(f"{run['label']}: {task['classes'][said]}", fontsize=8, parse_math=False)


def _map(axes: Axes, run: dict[str, Any], walk: dict[str, Any], t: int, extent: tuple[float, ...]) -> None:
    """The map before glimpse t + 1, and where that went; without a map, what it showed."""
    if walk["maps"] is None:
        axes.imshow(decoded(walk["glimpses"][t][0]), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"glimpse {t + 1}", fontsize=8)
        return
    parts, (top, left, side) = run["sensor"]["parts"], walk["locations"][t]
    part = next((part for part in parts if part["side"] == side), parts[0])
    map_, colours = walk["maps"][t], "viridis_r" if run["map"] == "epe" else "viridis"
    scale = {"vmin": map_["low"], "vmax": map_["high"]} if len(parts) > 1 else {}  # one for all sides
    cols, rows = (_edges(part[axis], part["side"]) for axis in ("cols", "rows"))
    axes.pcolormesh(cols, rows, of_part(map_, part), cmap=colours, **scale)
    if side < max(extent) or len(parts) > 1:
        axes.plot(left + side / 2, top + side / 2, "r+")
    axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")
    name = {"epe": "EPE", "policy": "policy"}[run["map"]]
    wide = f", side {part['side']}" if len(parts) > 1 else ""
    axes.set_title(f"{name} before {t + 1}{wide}", fontsize=8)


def _gain(axes: Axes, run: dict[str, Any], walk: dict[str, Any], t: int) -> None:
    """Below a map of expected entropies: the entropy before, and what the chosen place gains, in nats."""
    if run["map"] == "epe" and walk["maps"] is not None:
        about = f"H {walk['entropy'][t]:.2f}, gain {walk['gain'][t]:.2f} nats"
        axes.text(0.5, -0.03, about, transform=axes.transAxes, fontsize=6, ha="center", va="top")


def _edges(axis: list[int], side: int) -> np.ndarray:
    """(R + 1,) between the centres (R,) of squares, and beyond the outermost.

    >>> _edges([0, 4, 8], 4).tolist(), _edges([0], 40).tolist()
    ([0.0, 4.0, 8.0, 12.0], [0.0, 40.0])
    """
    centres = np.array(axis) + side / 2
    if len(centres) == 1:
        return np.array([centres[0] - side / 2, centres[0] + side / 2])
    between = (centres[1:] + centres[:-1]) / 2
    return np.array([2 * centres[0] - between[0], *between, 2 * centres[-1] - between[-1]])


def of_part(map_: dict[str, Any], part: dict[str, Any]) -> np.ndarray:
    """The values of a map at the places of one side, see `hardattn.report.contents.parts_of`."""
    shape = (len(part["rows"]), len(part["cols"]))
    values = unpacked(map_, (-1,))[part["start"] : part["start"] + shape[0] * shape[1]]
    return values.reshape(shape)


def _figure() -> Figure:
    return figure_of(8, 4.2)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> Path:
    """Writes it beside its name and then renames it."""
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=150, format="png"))
    return path


def _plain(name: str) -> str:
    """
    >>> _plain("celebahq, Male")
    'celebahq-Male'
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-")
