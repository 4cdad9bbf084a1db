"""Frontiers, intervals and the comparison of families; and the grids that come with the project."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from data.files import write_json
from data.geometry import Geometry
from hardattn.baselines.networks import make_baseline
from hardattn.experiments.frontier.grid import grids, read_grid
from hardattn.experiments.frontier.names import ATTENTION, looks
from hardattn.experiments.frontier.pareto import COUNTS, FrontierPoint, pareto, within
from hardattn.experiments.frontier.result import Frontier
from hardattn.experiments.frontier.summary import BUDGETS, at_budgets, behind, leaders, verdict
from hardattn.stopping.flops import mflops


def point(mflops: float, accuracy: float, family: str = "cnn", test: float = 0.5) -> FrontierPoint:
    return FrontierPoint(
        family, family, "fixed", 1.0, mflops, 64.0, mflops, accuracy, test, test, test, 0.7, 1.0, "run"
    )


POINTS = some.lists(
    some.builds(point, some.sampled_from([0.1, 0.2, 0.5, 1.0]), some.sampled_from([0.5, 0.6, 0.7, 0.8]))
)


@given(POINTS)
def test_no_point_is_cheaper_and_as_good_as_one_of_the_frontier(points: list[FrontierPoint]) -> None:
    frontier = pareto(points)
    for chosen in frontier:
        others = [p for p in points if p.valid_mflops < chosen.valid_mflops]
        assert all(p.valid_accuracy < chosen.valid_accuracy for p in others)
        alike = [p for p in points if p.valid_mflops == chosen.valid_mflops]
        assert all(p.valid_accuracy <= chosen.valid_accuracy for p in alike)
    assert bool(frontier) == bool(points)


@given(POINTS, some.floats(0.05, 2.0))
def test_within_a_budget_the_frontier_has_the_best_point(points: list[FrontierPoint], budget: float) -> None:
    affordable = [p.valid_accuracy for p in points if p.valid_mflops <= budget]
    found = within(pareto(points), budget)
    assert (found.valid_accuracy if found else None) == max(affordable, default=None)


def test_test_images_do_not_choose() -> None:
    """Of two points as cheap, the one that is better in validation, though worse in the test."""
    chosen = pareto([point(0.1, 0.8, test=0.6), point(0.1, 0.7, test=0.9)])
    assert [p.test_accuracy for p in chosen] == [0.6]


def test_families_side_by_side() -> None:
    points = [
        point(0.3, 0.9, ATTENTION, test=0.9),
        point(1.0, 0.8, ATTENTION, test=0.99),  # not on the frontier: worse in validation
        point(0.04, 0.7, "cnn", test=0.7),
        point(0.7, 0.95, "cnn", test=0.95),
    ]
    table = at_budgets(points)
    assert dict(zip(BUDGETS, table[ATTENTION], strict=True)) == {
        budget: None if budget < 0.3 else 0.9 for budget in BUDGETS
    }
    assert behind(table) == [0.05, 0.1, 0.2, 0.8, 1.5, 3.0]
    both = dict.fromkeys(COUNTS, table)
    assert "by software behind a rival at 0.05" in verdict(both, 0.02) and "within 10 %" in verdict(
        both, 0.02
    )
    ahead = {ATTENTION: [0.9] * len(BUDGETS)}
    assert "behind no rival" in verdict(dict.fromkeys(COUNTS, ahead), 0.2)
    assert "above 10 %" in verdict(dict.fromkeys(COUNTS, ahead), 0.2)
    assert "no rival" not in verdict({"binning": ahead, "software": table}, 0.2)
    assert verdict({"binning": {"cnn": [0.5] * len(BUDGETS)}}, 0.0) == "none of these networks looks"
    assert leaders([points]) == [(0.04, "cnn"), (0.3, ATTENTION), (0.7, "cnn")]
    assert leaders([points], most=0.5) == [(0.04, "cnn"), (0.3, ATTENTION)]


def test_additions_of_averages_count_by_one_of_the_counts() -> None:
    """What is cheap for a sensor that bins is dear in software, and what does not average stays."""
    thumbnail = replace(point(0.1, 0.9, "cnn", test=0.9), valid_software_mflops=0.5)
    points = [thumbnail, point(0.2, 0.8, ATTENTION, test=0.8)]
    own, rival = ({count: at_budgets(points, count)[name] for count in COUNTS} for name in (ATTENTION, "cnn"))
    assert own["binning"] == own["software"] and own["software"][3] == 0.8
    assert rival["binning"][2] == 0.9 and rival["software"][2:6] == [None, None, None, 0.9]
    assert leaders([points], "software") == [(0.2, ATTENTION), (0.5, "cnn")]


def test_seeds_choose_for_themselves_and_are_averaged() -> None:
    points = [point(0.05, 0.8, test=0.7), replace(point(0.1, 0.8, test=0.9), seed=1)]
    assert at_budgets(points)["cnn"][1:3] == [None, pytest.approx(0.8)]


def test_families_that_look_are_also_measured_together() -> None:
    names = (
        "attention, designed widths",
        "attention, designed widths after a glance",
        "attention, fixed places",
    )
    points = [point(0.1, 0.5 + 0.1 * at, name, test=0.5 + 0.1 * at) for at, name in enumerate(names)]
    table = at_budgets([*points, point(0.1, 0.65, test=0.65)])
    assert table["any attention, designed widths"][2] == 0.6 and table["any attention"][2] == 0.7
    assert behind(table) == [0.1, 0.2, 0.4, 0.8, 1.5, 3.0]  # designed widths are what is claimed


@pytest.mark.parametrize("dataset", [name for name in grids() if name != "folder"])  # a few, in minutes
def test_grids_hold_hard_attention_and_all_its_rivals(dataset: str) -> None:
    members = read_grid(dataset)
    baselines = {member.baseline for member in members}
    assert {"cnn", "separable", "mobilenet_v2", "shufflenet_v2", "early-exit"} <= baselines
    assert any(looks(member.family) for member in members if member.method)
    assert any(member.family.startswith("glance") for member in members if member.baseline)
    assert not any(looks(member.family) for member in members if member.baseline)


@pytest.mark.parametrize("dataset", ["celebahq", "cluttered-mnist"])
def test_every_rival_family_has_as_many_networks_as_the_smallest_that_looks(dataset: str) -> None:
    sizes = Counter(member.family for member in read_grid(dataset))
    assert {"MicroNet-like", "MCUNet-like", "glance alone", "fully connected"} <= set(sizes)
    assert len([family for family in sizes if looks(family)]) == 6
    assert min(sizes.values()) == 3
    assert {member.recipe["batch_size"] for member in read_grid(dataset)} == {64}  # the file's own recipe
    for family in ("cnn", "separable", "MobileNetV2", "ShuffleNetV2", "MicroNet-like", "MCUNet-like"):
        heads = {member.recipe["pooling"] for member in read_grid(dataset) if member.family == family}
        assert heads == {"flatten", "mean"}


def test_the_grid_of_scenes_has_the_families_of_faces() -> None:
    scenes = read_grid("folder", Path(__file__).parents[1] / "benchmarks" / "grids" / "scenes.toml")
    assert {member.family for member in scenes} == {member.family for member in read_grid("celebahq")}


@pytest.mark.parametrize("family", ["separable", "MobileNetV2", "ShuffleNetV2"])
def test_rivals_on_faces_span_the_stated_costs(family: str) -> None:
    costs = []
    for member in (member for member in read_grid("celebahq") if member.family == family):
        side = member.recipe["resolution"]
        image = Geometry(side, side, 3, glimpse_size=side, per_axis=1).glimpse_shape()
        options = {name: member.recipe[name] for name in ("width", "pooling")}
        network = make_baseline(member.baseline, image, 2, **options).eval()
        costs.append(mflops(network, torch.zeros(1, *image)))
    assert min(costs) < 0.065 and max(costs) > 0.5
    ordered = sorted(costs)
    assert all(after < 7 * before for before, after in zip(ordered, ordered[1:], strict=False))


def test_points_of_an_older_file_are_of_its_seed(tmp_path: Path) -> None:
    found = Frontier("digits", "label", 1600, [3], [replace(point(0.1, 0.9), seed=3)])
    older = {name: value for name, value in found.to_json().items() if name not in ("seeds", "terms")}
    older["points"] = [{k: v for k, v in each.items() if k != "seed"} for each in older["points"]]
    write_json(tmp_path / "frontier.json", {**older, "seed": 3})
    assert Frontier.read(tmp_path / "frontier.json") == found
