"""The drawing of a network has the glimpses, places and probabilities of the image that it looks at."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from report_tiny import trained

from hardattn.report.contents import collect
from hardattn.report.encoding import decoded
from hardattn.report.network_drawing import CHART, IMAGE_SIDE, draw_network


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    options = ["--scales", "2", "--encoder", "plain", "--policy", "gaussian", "--name", "drawn"]
    folder: Path = trained(tmp_path_factory.mktemp("report"), "drawn-0", options)
    return collect([folder], images=1, device="cpu")


@pytest.fixture
def drawn(found: dict[str, Any]) -> Figure:
    figure = Figure()
    draw_network(figure, found["tasks"][0], found["tasks"][0]["runs"][0])
    return figure


def test_each_step_shows_the_image_and_what_the_sensor_gave_of_it(
    found: dict[str, Any], drawn: Figure
) -> None:
    task, walk = found["tasks"][0], found["tasks"][0]["runs"][0]["walks"][0]
    pixels = [np.asarray(image.get_array()) for image in drawn.axes[0].images]
    expected = []
    for glimpse in walk["glimpses"]:
        expected += [decoded(task["images"][0]["picture"]), *map(decoded, glimpse)]
    assert len(pixels) == 2 * 3
    assert all(np.array_equal(one, other) for one, other in zip(pixels, expected, strict=True))


def test_squares_lie_where_the_network_looked(found: dict[str, Any], drawn: Figure) -> None:
    walk, axes = found["tasks"][0]["runs"][0]["walks"][0], drawn.axes[0]
    frames = [
        p for p in axes.patches if isinstance(p, Rectangle) and p.get_edgecolor()[:3] == (1, 215 / 255, 0)
    ]
    assert len(frames) == 1 + 2
    pictures = [image.get_extent() for image in axes.images[::3]]
    unit = IMAGE_SIDE / 40
    for frame, (left, _, _, top), (row, col, side) in (
        (frames[0], pictures[0], walk["locations"][0]),
        (frames[2], pictures[1], walk["locations"][1]),
    ):
        assert (frame.get_x() - left) / unit == pytest.approx(col)
        assert (top - frame.get_y() - frame.get_height()) / unit == pytest.approx(row)
        assert frame.get_width() / unit == pytest.approx(side)


def test_bars_are_the_probabilities_after_each_glimpse_and_the_true_class_is_green(
    found: dict[str, Any], drawn: Figure
) -> None:
    task, walk = found["tasks"][0], found["tasks"][0]["runs"][0]["walks"][0]
    groups = [group for group in drawn.axes[0].containers if isinstance(group, BarContainer)]
    bars = [bar for group in groups for bar in group.patches]
    heights = np.array([bar.get_height() for bar in bars]).reshape(2, 10)
    assert np.allclose(heights, CHART * np.array(walk["probabilities"][1:]))
    colours = [to_rgb(bar.get_facecolor()) for bar in bars]
    green = [number % 10 for number, colour in enumerate(colours) if colour == to_rgb("tab:green")]
    assert green == [task["images"][0]["class"]] * 2


def test_it_names_the_parts_and_chooses_no_place_after_the_last_glimpse(drawn: Figure) -> None:
    texts = [text.get_text() for text in drawn.axes[0].texts]
    boxes = [patch for patch in drawn.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    assert texts.count("plain") == texts.count("policy") == texts.count("classifier") == 2
    assert {
        "policy: gaussian",
        "core: gru",
        "$h_0$",
        "$h_{1}$",
        "$h_{2}$",
        "sensor:\n8 x 8, 2 scales",
    } <= set(texts)
    assert len(boxes) == 1 + 2 * 4
