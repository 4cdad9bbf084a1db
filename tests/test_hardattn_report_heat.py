"""Heat maps of a report are exact shares of test images, also beside each other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from report_tiny import trained

from data.attended import attended_share
from data.geometry import Geometry
from hardattn.loading import open_trained
from hardattn.model.looking import look_at_all
from hardattn.report.contents import collect
from hardattn.report.encoding import unpacked
from hardattn.report.heat import draw_heat, heat_of, shares, titled
from supervision.parts import write_parts
from supervision.store import SequenceStore


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run that imitates sequences, and one that does not."""
    from data.registry import load

    folder = tmp_path_factory.mktemp("heat")
    digits = load("digits")
    store: SequenceStore = write_parts(
        folder / "a.h5", digits, "design", glimpses=2, ids=digits["design"].ids[:40], origin=digits.origin
    )
    supervised = trained(folder, "supervised-0", ["--name", "supervised", "--supervise", str(store.path)])
    return [supervised, trained(folder, "ram-0", ["--method", "ram"])]


@pytest.fixture(scope="module")
def task(runs: list[Path]) -> dict[str, Any]:
    found: dict[str, Any] = collect(runs, images=1, device="cpu")["tasks"][0]
    return found


def test_they_are_the_shares_of_the_places_that_were_looked_at(
    runs: list[Path], task: dict[str, Any]
) -> None:
    for folder, told in zip(runs, task["runs"], strict=True):
        run = open_trained(folder, device="cpu")
        network, settings = run.glimpsing()
        seen = look_at_all(network, run.dataset["test"], settings.geometry, settings.glimpses, mode="greedy")
        for t, map_ in enumerate(told["heat"]):
            exact = attended_share(seen.locations[:, t], (40, 40)).numpy()
            level = (map_["high"] - map_["low"]) / 255
            assert np.allclose(unpacked(map_, (40, 40)), exact, atol=level / 2 + 1e-4)
            assert exact.sum() == pytest.approx(64)
            assert map_["places"] == len(seen.locations[:, t].unique(dim=0))


def test_runs_stand_side_by_side_and_say_whether_they_are_supervised(task: dict[str, Any]) -> None:
    figure = Figure()
    draw_heat(figure, task)
    panels, bar = np.array(figure.axes[:6]).reshape(2, 3), figure.axes[6]
    assert bar.get_ylabel() == "of test images attend the pixel, %"
    assert [axes.get_title() for axes in panels[0]] == ["mean image", "t = 1", "t = 2"]
    assert [panels[row, 0].texts[0].get_text() for row in range(2)] == [titled(run) for run in task["runs"]]
    assert [run["supervised_images"] for run in task["runs"]] == [40, 0]
    scales = set()
    for row, run in zip(panels[:, 1:], task["runs"], strict=True):
        for axes, map_ in zip(row, run["heat"], strict=True):
            [drawn] = axes.images
            assert np.allclose(np.asarray(drawn.get_array()), 100 * unpacked(map_, (40, 40)))
            scales.add(drawn.get_clim())
    assert scales == {(0, 100 * max(map_["high"] for run in task["runs"] for map_ in run["heat"]))}


def test_squares_of_any_side_add_up_and_a_glance_covers_all() -> None:
    wide = Geometry(40, 40, 1, glimpse_size=8, sides=(8, 16, 40))
    one, other = torch.tensor([[0, 0, 8]] * 3), torch.tensor([[10, 10, 16]])
    together = shares(torch.cat([one, other]), wide)
    np.testing.assert_allclose(together, 0.75 * shares(one, wide) + 0.25 * shares(other, wide))
    assert (shares(torch.tensor([[0, 0, 40]]), wide) == 1).all()
    assert [told["sides"] for told in heat_of(torch.cat([one, other])[:, None], wide)] == [
        {"8": 0.75, "16": 0.25, "40": 0.0}
    ]


def test_of_large_images_it_is_the_mean_over_cells() -> None:
    large = Geometry(300, 301, 1, glimpse_size=3)
    places = torch.tensor([[0, 0, 3], [298, 298, 3]])
    exact, found = attended_share(places, large.image_size).numpy(), shares(places, large)
    assert found.shape == (150, 151)
    assert found[0].tolist()[:3] == [0.5, 0.25, 0] and found[1, 1] == 0.125
    assert found[149, 150] == exact[298:, 300].mean() == 0.5  # a cell that the border cuts off
