"""What a report shows of squares of several sides."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from report_tiny import trained

from data.geometry import Geometry
from hardattn.report.contents import collect, parts_of
from hardattn.report.encoding import unpacked
from hardattn.report.heat import sides_of
from hardattn.report.pictures import of_part, write_pictures

WIDE = Geometry(40, 40, 1, glimpse_size=8, per_axis=9, sides=(8, 16, 40))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    options = ["--sides", "8,16,40", "--policy", "product", "--name", "wide"]
    folder = trained(tmp_path_factory.mktemp("report"), "wide-0", options)
    return collect([folder], images=2, device="cpu")


def test_parts_of_a_map_are_all_of_it_side_by_side(found: dict[str, Any]) -> None:
    run, grid = found["tasks"][0]["runs"][0], WIDE.grid()
    assert run["sensor"]["parts"] == parts_of(grid) and run["sensor"]["glimpse_size"] == 8
    numbers = np.arange(len(grid))
    for part in parts_of(grid):
        size = len(part["rows"]) * len(part["cols"])
        own, numbers = numbers[:size], numbers[size:]
        places = grid.locations[torch.from_numpy(own)].tolist()
        assert places == [[row, col, part["side"]] for row in part["rows"] for col in part["cols"]]
        assert part["start"] == own[0]
    assert len(numbers) == 0


def test_the_map_is_largest_where_the_network_looks_next(found: dict[str, Any]) -> None:
    run, grid = found["tasks"][0]["runs"][0], WIDE.grid()
    for walk in run["walks"]:
        for t, place in enumerate(walk["locations"]):
            values = unpacked(walk["maps"][t], (len(grid),))
            number = int(grid.index(torch.tensor(place)))
            assert values[number] == values.max()
            part = next(part for part in run["sensor"]["parts"] if part["side"] == place[2])
            table = of_part(walk["maps"][t], part)
            assert table[part["rows"].index(place[0]), part["cols"].index(place[1])] == values[number]


def test_sides_are_told_and_of_one_side_nothing(found: dict[str, Any]) -> None:
    for told in found["tasks"][0]["runs"][0]["heat"]:
        assert list(told["sides"]) == ["8", "16", "40"]
        assert sum(told["sides"].values()) == pytest.approx(1)
    assert sides_of(torch.tensor([[0, 0, 8]]), replace(WIDE, sides=())) == {}


def test_pictures_are_drawn(found: dict[str, Any], tmp_path: Path) -> None:
    assert len(write_pictures(tmp_path, found)) == 7 + 2
