"""Finding in stores, of data sets that know boxes or parts, and the command `boed finding`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_tiny import assert_refused, call
from faces_tiny import ANNOTATED, annotate

import boed
from data import DataSet, load
from data.errors import SettingsError, StoreError
from data.layouts import CELEBAHQ_IMAGES as IMAGES
from supervision.annotations import named_parts
from supervision.finding import measure_finding, part_places
from supervision.parts import write_parts
from supervision.store import SequenceStore

Write = Callable[..., None]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, write_photo: Write) -> DataSet:
    root = tmp_path_factory.mktemp("faces")
    annotate(root)
    for i in ANNOTATED:
        write_photo(root / IMAGES / f"{i}.jpg", i, (32, 32))
    return load("celebahq", root, attribute="Male", scatter=True, canvas=64, face_widths=(40, 48))


def mouths(path: Path, faces: DataSet, split: str = "design") -> SequenceStore:
    """Two glimpses, the first at the mouth and the second at the right eye."""
    annotations = named_parts(faces, split, ["mouth", "right_eye"])
    ids, origin = annotations.ids, faces.origin
    return write_parts(path, faces, split, glimpses=2, ids=ids, annotations=annotations, origin=origin)


@pytest.mark.parametrize("split", ["design", "train"])
def test_glimpses_at_a_part_hold_that_part(split: str, faces: DataSet, tmp_path: Path) -> None:
    store = mouths(tmp_path / "a.h5", faces, split)
    at_mouth, at_eye = measure_finding(store, faces, "mouth")
    assert (at_mouth.images, at_mouth.found, at_eye.found) == (len(faces[split]), 1, 0)
    assert 0 < at_mouth.random == at_eye.random < 0.2
    assert [row.found for row in measure_finding(store, faces, "right_eye")] == [0, 1]


def test_the_object_is_the_middle_of_the_box() -> None:
    digits = load("digits")
    ids = digits["design"].ids[[4, 9]]
    assert digits["design"].boxes is not None
    corners = digits["design"].boxes[[4, 9]].double()
    assert torch.equal(part_places(digits, "design", ids, "object")[:, 0], corners.view(2, 2, 2).mean(1))


def test_only_finished_sequences_count(faces: DataSet, tmp_path: Path) -> None:
    store = mouths(tmp_path / "a.h5", faces)
    store.done[1] = False
    assert measure_finding(store, faces, "mouth")[0].images == len(faces["design"]) - 1
    store.done[:] = False
    with pytest.raises(StoreError, match="expected finished sequences in .*a.h5, found none"):
        measure_finding(store, faces, "mouth")


def test_parts_that_there_are_not_are_refused(faces: DataSet) -> None:
    with pytest.raises(SettingsError, match="right_eye, left_eye, nose, mouth; found 'beak', change --part"):
        part_places(faces, "design", faces["design"].ids, "beak")
    digits, finite = load("digits"), load("finite")
    with pytest.raises(SettingsError, match="named parts for --part, found digits"):
        part_places(digits, "design", digits["design"].ids, "mouth")
    with pytest.raises(SettingsError, match="knows where its objects are, found finite"):
        part_places(finite, "design", finite["design"].ids)
    with pytest.raises(StoreError, match="images of digits design, found others"):
        part_places(digits, "design", digits["train"].ids[:1])


def test_the_command_prints_a_line_for_each_store_and_glimpse(faces: DataSet, tmp_path: Path) -> None:
    paths = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for path in paths:
        mouths(path, faces)
    result = call("finding", *paths, "--part", "mouth")
    assert result.exit_code == 0, result.output
    caption, _, *lines = result.stdout.splitlines()
    assert caption.startswith("mouth in the square, % of images") and len(lines) == 4
    assert lines[0].split()[:5] == ["annotated-parts", "(a)", "1", "3", "100.0"]
    answer = call("finding", paths[0], "--json")
    found = json.loads(answer.stdout)
    assert found["part"] == "object"
    assert [row["step"] for row in found["sources"]["annotated-parts"]] == [1, 2]
    rows = boed.finding(paths[:1], data_root=None)["annotated-parts"]
    assert [row.to_json() for row in rows] == found["sources"]["annotated-parts"]


def test_bad_input_is_refused_in_one_line(faces: DataSet, tmp_path: Path) -> None:
    store = mouths(tmp_path / "a.h5", faces).path
    assert_refused(call("finding", tmp_path / "none.h5"), "none.h5")
    assert_refused(call("finding", store, "--part", "tail"), "'tail'", "mouth")
    assert_refused(call("finding", store, store), "twice")
