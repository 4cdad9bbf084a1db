"""The settings of the published tables name what there is, and are told apart."""

import pytest

from boed.settings import FitSettings
from data.errors import SettingsError
from data.registry import DATASETS
from hardattn.baselines.registry import BASELINES
from hardattn.baselines.training import BaselineRecipe
from hardattn.experiments.reproduce.outcome import Published
from hardattn.experiments.reproduce.settings import (
    COMMON,
    LOADED_WITH,
    SEEN,
    read_table,
    table_names,
    trainings,
)
from hardattn.experiments.reproduce.trainings import FIT
from hardattn.experiments.row_sequences import combination_in
from hardattn.objectives.registry import METHODS
from hardattn.training.recipe import Recipe

ROW = {"name", "method", "baseline", "sequences", "features", "share", "recipe", *COMMON}
DESIGNS = {"images", "fit", "beside"}
PUBLISHED = {f"published_{figure}" for figure in ("error_percent", "iterations", "epoch")}
TABLE = {"rows", "ways", "seeds", "minutes", "attributes", "reference", *COMMON}


@pytest.mark.parametrize("name", table_names())
def test_settings_name_what_there_is(name: str) -> None:
    table = read_table(name)
    assert set(table) <= TABLE | {"published_error_percent", "published"} and len(table["rows"]) >= 4
    for row in table["rows"]:
        assert set(row) <= ROW | PUBLISHED | (DESIGNS if "fit" in row else set())
        _, fit = combination_in(row.get("fit", {}))
        assert FitSettings(**{"glimpses": 1, **fit}) and set(row.get("beside", {})) <= set(SEEN)
    every = trainings(table, minutes=60.0, seed=0, seeds=1)
    for row, recipe in ((one.row, one.recipe) for one in every):
        if "baseline" in row:
            assert row["baseline"] in BASELINES and BaselineRecipe(**recipe)
        else:
            assert METHODS[row["method"]].supervised == ("sequences" in row) and Recipe(**recipe)
    names = [row["name"] for row in table["rows"]]
    assert "ram" in {one.row.get("method") for one in every} and len(set(names)) == len(names)
    assert table.get("reference", names[0]) in names


@pytest.mark.parametrize("name", table_names())
def test_every_published_figure_is_told_once(name: str) -> None:
    table = read_table(name)
    others = [Published(**figure) for figure in table.get("published", [])]
    told = [str(row.get("published_error_percent")) for row in table["rows"]]  # of several attributes: none
    assert len({str(figure) for figure in others}) == len(others)
    assert not {str(figure.error_percent) for figure in others} & {*told}


@pytest.mark.parametrize("name", table_names())
def test_every_table_has_its_floors_which_choose_nothing_and_take_little_time(name: str) -> None:
    every = trainings(read_table(name), minutes=60.0, seed=0, seeds=1)
    floors = [one for one in every if one.row.get("method") in ("random", "centre")]
    assert {one.row["method"] for one in floors} == {"random", "centre"}
    assert not [one for one in floors if one.chooses]
    centre = sum(one.minutes for one in floors if one.row["method"] == "centre")
    assert centre <= 0.05 * 60
    rivals = {one.task for one in every if one.chooses}
    assert {one.task for one in floors} <= rivals  # of the same glimpses


@pytest.mark.parametrize("name", table_names())
def test_tasks_are_of_known_data_and_have_files_of_their_own(name: str) -> None:
    every = trainings(read_table(name), minutes=60.0, seed=0, seeds=2)
    for one in every:
        assert {*LOADED_WITH} & {*one.row} <= {*DATASETS[one.row["dataset"]].options}
    assert len({one.run_name for one in every}) == len(every)
    looking = [one for one in every if "baseline" not in one.row]
    apart = [one for one in looking if "beside" not in one.row]
    assert len({one.task for one in looking}) == len({one.tag for one in apart})
    assert {one.tag for one in apart}.isdisjoint(one.tag for one in looking if "beside" in one.row)


def test_a_row_has_the_settings_of_the_table_where_it_has_none() -> None:
    table = {"dataset": "digits", "glimpses": 3, "rows": [{"name": "a"}, {"name": "b", "glimpses": 5}]}
    found = trainings(table, minutes=1.0, seed=0, seeds=1)
    assert [one.row["glimpses"] for one in found] == [3, 5]
    assert [one.row["dataset"] for one in found] == ["digits", "digits"]
    assert [one.tag for one in found] == ["", "-glimpses-5"]


def test_a_table_on_another_data_set_has_the_rows_that_it_says() -> None:
    own, other = (read_table("recurrent-glimpsenet", name) for name in (None, "folder"))
    assert own["dataset"] == "cluttered-mnist" and read_table("recurrent-glimpsenet", own["dataset"]) == own
    assert other["dataset"] == "folder" and other["size"] == 128 and "canvas" not in other
    names = [row["name"] for row in other["rows"]]
    assert {"baseline", "pretrained", "pretrained-frozen", "comparator"} < {*names} and len(names) < len(
        own["rows"]
    )
    every = trainings(other, minutes=60.0, seed=0, seeds=1)
    assert {*LOADED_WITH} & {*every[0].row} <= {*DATASETS["folder"].options}
    assert {one.task for one in every if not one.chooses} - {one.task for one in every if one.chooses} == {
        "folder, size 128, glimpses 1, magnification 1"
    }
    with pytest.raises(SettingsError, match="expected --dataset of cluttered-mnist, folder for the table"):
        read_table("recurrent-glimpsenet", "cub")


@pytest.mark.parametrize("name", table_names())
def test_features_are_those_of_a_row_that_is_there(name: str) -> None:
    for table in (
        read_table(name),
        *([read_table(name, "folder")] if name == "recurrent-glimpsenet" else []),
    ):
        names = {row["name"] for row in table["rows"]}
        assert {row["features"] for row in table["rows"] if "features" in row} <= names | {FIT}


def test_the_published_variants_are_all_there_and_of_other_images() -> None:
    table = read_table("recurrent-glimpsenet")
    accuracy = {
        **{"baseline": 83.99, "2d-spatial-clue": 84.16, "2d-spatial-loc": 83.81, "2d-spatial-loc-s7": 62.0},
        **{"2d-spatial-loc-s7-no-aux": 67.45, "multihead-attention": 83.72, "pretrained": 85.14},
        "pretrained-frozen": 84.75,
    }
    found = {
        row["name"]: 100 - row["published_error_percent"]
        for row in table["rows"]
        if "published_error_percent" in row
    }
    assert found == pytest.approx(accuracy) and table["published_on"] == "ImageNet-100"
    every = {one.name: one for one in trainings(table, minutes=60.0, seed=0, seeds=1)}
    assert not every["comparator"].chooses and all(every[name].chooses for name in accuracy)
