"""A drawing of a network that looks at one image: sensor, encoder, core, policy, classifier, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hardattn.report.encoding import decoded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, FIRST = 2.2, 1.4  # widths of a step, and of what is before the first
IMAGE, CROP, ENCODER, CORE, HEADS, CLASSES = 0.0, 1.65, 2.7, 3.6, 4.6, 5.45  # lower edges of the rows
IMAGE_SIDE, CROP_SIDE, BOX, CHART, TOP = 1.35, 0.75, 0.5, 0.8, 6.65
LEFT, MIDDLE = 0.35, 1.1  # within a step: left edge of boxes, and their middle
WIDE, HEAD, START, START_WIDE = 1.5, 0.72, 0.45, 0.6  # widths of boxes, and where the first state is
MOST = 10  # classes that have a bar
UNIT = 0.7  # inches
COLOURS = {"encoder": "#cfe2f3", "core": "#d9ead3", "policy": "#fce5cd", "classifier": "#ead1dc"}
LINE: dict[str, Any] = {"color": "black", "linewidth": 0.8}
PLACE: dict[str, Any] = {"color": "tab:orange", "linewidth": 0.9, "linestyle": "--"}


def classes_shown(probabilities: list[list[float]]) -> list[int]:
    """Which classes have a bar: all, or the ten that the last step finds likeliest, in their order.

    Args:
        probabilities: (T+1, K).

    >>> classes_shown([[0.5, 0.5], [0.1, 0.9]]), classes_shown([[0.0, 0.5, *[0.05] * 10]])
    ([0, 1], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    """
    last = np.array(probabilities[-1])
    return sorted(np.argsort(-last, kind="stable")[:MOST].tolist())


def draw_network(figure: Figure, task: dict[str, Any], run: dict[str, Any]) -> None:
    """The first image that a report shows, as a run sees it; time goes to the right, dashed lines are places.

    A place goes to the sensor, and with what is seen there into the encoder. The state before any glimpse
    chooses the first place; after the last glimpse none is chosen.
    """
    steps, image = len(run["walks"][0]["locations"]), task["images"][0]
    width = FIRST + COLUMN * steps
    figure.set_size_inches(UNIT * width, UNIT * (TOP + 0.3))
    axes = figure.add_subplot()
    _box(axes, (START, CORE), START_WIDE, "$h_0$", "core")
    _names_of_rows(axes, run)
    for t in range(steps):
        _draw_step(axes, task, run, t)
        _connect_step(axes, t)
    axes.set(xlim=(0, width), ylim=(IMAGE - 0.1, TOP), aspect="equal")
    axes.set_axis_off()
    title = f"{run['label']} looks at image {image['id']}, {task['name']}"
    axes.set_title(title, fontsize=9, parse_math=False)


def _draw_step(axes: Axes, task: dict[str, Any], run: dict[str, Any], t: int) -> None:
    """Image, glimpse, boxes and classes of glimpse t + 1, from below."""
    walk, image, left = run["walks"][0], task["images"][0], FIRST + COLUMN * t
    _image(axes, left, decoded(image["picture"]), walk["locations"][: t + 1], task["size"])
    _crops(axes, left, [decoded(each) for each in walk["glimpses"][t]])
    _box(axes, (left + LEFT, ENCODER), WIDE, run["network"]["encoder"], "encoder")
    _box(axes, (left + LEFT, CORE), WIDE, f"$h_{{{t + 1}}}$", "core")
    _box(axes, (left + LEFT, HEADS), HEAD, "classifier", "classifier")
    _chart(axes, left, walk["probabilities"], t + 1, image["class"], task["classes"])


def _connect_step(axes: Axes, t: int) -> None:
    """The arrows of glimpse t + 1, and the policy that chose its place."""
    left = FIRST + COLUMN * t
    before = left - COLUMN + LEFT + WIDE if t else START + START_WIDE
    _arrow(axes, (before, CORE + BOX / 2), (left + LEFT, CORE + BOX / 2))
    for low, high in ((IMAGE + IMAGE_SIDE, CROP), (CROP + CROP_SIDE, ENCODER), (ENCODER + BOX, CORE)):
        _arrow(axes, (left + MIDDLE, low), (left + MIDDLE, high))
    for low, high in ((CORE + BOX, HEADS), (HEADS + BOX, CLASSES)):
        _arrow(axes, (left + LEFT + HEAD / 2, low), (left + LEFT + HEAD / 2, high))
    box = left - COLUMN + LEFT + WIDE - HEAD if t else START + (START_WIDE - HEAD) / 2
    _policy(axes, box, left + 0.08, left)


def _names_of_rows(axes: Axes, run: dict[str, Any]) -> None:
    """What each row is, at its left."""
    names, size = run["network"], run["sensor"]["glimpse_size"]
    scales = f", {run['sensor']['scales']} scales" if run["sensor"]["scales"] > 1 else ""
    rows = (
        (IMAGE + 0.7, "image,\nplace $l_t$"),
        (CROP + 0.4, f"sensor:\n{size} x {size}{scales}"),
        (ENCODER + 0.25, f"encoder and\nplace:\n{names['combine']}"),
        (CORE - 0.12, f"core: {names['core']}"),
        (HEADS + BOX + 0.15, f"policy: {names['policy']}"),
    )
    for height, text in rows:
        axes.text(0.02, height, text, fontsize=6.5, va="center")


def _policy(axes: Axes, box: float, gap: float, column: float) -> None:
    """The policy that reads a state, and the way of its place to sensor and encoder of the next step."""
    _box(axes, (box, HEADS), HEAD, "policy", "policy")
    _arrow(axes, (box + HEAD / 2, CORE + BOX), (box + HEAD / 2, HEADS))
    down = (IMAGE + IMAGE_SIDE / 2, ENCODER + BOX / 2)
    axes.plot([box + HEAD, gap, gap], [HEADS + BOX / 2, HEADS + BOX / 2, down[0]], **PLACE)
    for height, end in zip(down, (column + MIDDLE - IMAGE_SIDE / 2, column + LEFT), strict=True):
        _arrow(axes, (gap, height), (end, height), PLACE)


def _image(
    axes: Axes, left: float, pixels: np.ndarray, places: list[list[int]], size: dict[str, int]
) -> None:
    """The image with the square that is looked at now, and fainter those before."""
    from matplotlib.patches import Rectangle

    unit = IMAGE_SIDE / max(size.values())  # of a pixel
    start = left + MIDDLE - size["width"] * unit / 2
    top = IMAGE + size["height"] * unit
    axes.imshow(
        pixels, cmap="gray", vmin=0, vmax=255, extent=(start, start + size["width"] * unit, IMAGE, top)
    )
    for number, (row, col, side) in enumerate(places, 1):
        now = number == len(places)
        corner = (start + col * unit, top - (row + side) * unit)
        frame = Rectangle(
            corner, side * unit, side * unit, fill=False, edgecolor="gold", alpha=1 if now else 0.4
        )
        axes.add_patch(frame)


def _crops(axes: Axes, left: float, scales: list[np.ndarray]) -> None:
    """What the sensor delivers, its scales side by side, each in a frame."""
    from matplotlib.patches import Rectangle

    side = min(CROP_SIDE, 1.6 / len(scales))
    start = left + MIDDLE - side * len(scales) / 2
    for number, pixels in enumerate(scales):
        extent = (start + side * number, start + side * (number + 1), CROP, CROP + side)
        frame = Rectangle((extent[0], CROP), side, side, fill=False, edgecolor="black", linewidth=0.8)
        axes.add_patch(frame)
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")


def _chart(
    axes: Axes, left: float, probabilities: list[list[float]], t: int, truth: int, classes: list[str]
) -> None:
    """Bars of class probabilities after t glimpses, the true class green, and the likeliest in words."""
    shown, now = classes_shown(probabilities), probabilities[t]
    wide = 1.6 / len(shown)
    for number, label in enumerate(shown):
        colour = "tab:green" if label == truth else "tab:gray"
        start = left + LEFT - 0.05 + wide * number
        axes.bar(start, CHART * now[label], 0.8 * wide, CLASSES, align="edge", color=colour)
    axes.plot([left + LEFT - 0.05, left + LEFT + 1.55], [CLASSES, CLASSES], **LINE)
    says = int(np.argmax(now))
    text = f"{classes[says][:16]}: {100 * now[says]:.0f} %"
    axes.text(left + MIDDLE, CLASSES + CHART + 0.12, text, fontsize=7, ha="center", parse_math=False)


def _box(axes: Axes, corner: tuple[float, float], width: float, text: str, part: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(
        FancyBboxPatch(
            corner, width, BOX, boxstyle=style, facecolor=COLOURS[part], edgecolor="black", linewidth=0.8
        )
    )
    axes.text(corner[0] + width / 2, corner[1] + BOX / 2, text, fontsize=6.3, ha="center", va="center")


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], line: dict[str, Any] = LINE
) -> None:
    axes.annotate(
        "",
        end,
        start,
        arrowprops={"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7, **line},
    )
