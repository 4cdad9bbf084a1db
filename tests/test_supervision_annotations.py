"""Annotated parts from a file: which part a glimpse goes to, where it is, and what is refused."""

from pathlib import Path

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from hardattn_tiny import GEOMETRY, tiny_dataset

from data.digits import load_digits
from data.errors import DataError, SettingsError, StoreError
from hardattn.cli.main import main
from hardattn.training import checkpoint
from hardattn.training.guidance import guided_images
from supervision.annotations import Annotations, read_annotations, visible_turns
from supervision.parts import nearest_on_grid, part_sequences, write_parts
from supervision.store import SequenceStore

ORDER = ("beak", "belly", "left-eye")
LINES = """
3 beak 2.0 3.5 1
3 belly 10 8 0
3 left-eye 6 6 1
5 beak 0 0 0
5 belly 0 0 0
7 tail 9 9 1

9 left-eye 16 0 1
"""


def written(folder: Path, lines: str = LINES) -> Path:
    path = folder / "parts.txt"
    path.write_text(lines)
    return path


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_hidden_and_missing_parts_give_way_to_the_next_visible_one() -> None:
    visible = torch.tensor(
        [[True, True, True], [True, False, True], [False, False, True], [True, False, False]]
    )
    expected = [[0, 1, 2, 0, 1], [0, 2, 2, 0, 2], [2] * 5, [0] * 5]
    assert visible_turns(visible, 5).tolist() == expected


def test_images_without_a_visible_part_of_the_order_are_not_there(tmp_path: Path) -> None:
    found = read_annotations(written(tmp_path), ORDER, GEOMETRY)
    assert found.ids.tolist() == [3, 9]
    assert found.of(torch.tensor([0, 3, 5, 7, 9])).tolist() == [3, 9]
    assert found.places(found.ids, 4).tolist() == [[[2, 3.5], [6, 6], [6, 6], [2, 3.5]], [[16, 0]] * 4]


def test_glimpses_are_centred_on_the_parts_and_on_the_grid(tmp_path: Path) -> None:
    dataset = tiny_dataset()
    found = read_annotations(written(tmp_path), ORDER, GEOMETRY)
    store = write_parts(tmp_path / "s.h5", dataset, "design", glimpses=2, ids=found.ids, annotations=found)
    centres = torch.tensor([[[2, 3.5], [6, 6]], [[16, 0], [16, 0]]])
    assert torch.equal(store.load().locations, nearest_on_grid(centres, GEOMETRY))
    assert store.load().locations.tolist() == [[[0, 0, 4], [4, 4, 4]], [[12, 0, 4], [12, 0, 4]]]
    guided = guided_images(dataset, store, GEOMETRY, 2, None, "categorical")
    assert guided is not None and guided[0].ids.tolist() == [3, 9]


def test_other_annotations_do_not_go_into_the_same_store(tmp_path: Path) -> None:
    dataset, path = tiny_dataset(), tmp_path / "s.h5"

    def write(found: Annotations) -> SequenceStore:
        return write_parts(path, dataset, "design", glimpses=2, ids=found.ids, annotations=found)

    write(read_annotations(written(tmp_path), ORDER, GEOMETRY))
    for order, lines in ((ORDER[::-1], LINES), (ORDER, LINES + "2 beak 1 1 1\n")):
        with pytest.raises(StoreError, match="design"):
            write(read_annotations(written(tmp_path, lines), order, GEOMETRY))


@pytest.mark.parametrize(
    "line",
    [
        "3 beak 1 1",
        "3 beak 1 1 1 1",
        "3 left eye 1 1 1",
        "three beak 1 1 1",
        "-3 beak 1 1 1",
        f"{2**63} beak 1 1 1",
        "3 beak one 1 1",
        "3 beak 1 1 2",
        "3 beak 1 1 yes",
        "3 beak -1 1 1",
        "3 beak 1 16.5 1",
        "3 beak nan 1 1",
        "3 belly 1 1 1\n3 belly 2 2 1",
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"4 beak 1 1 1\n4 belly 1 1 1\n{line}\n")
    with pytest.raises(DataError, match=r"expected .*found .*line [34].*;"):
        read_annotations(path, ("beak", "belly"), GEOMETRY)


@pytest.mark.parametrize("order", [(), ("beak", ""), ("beak", "beak")])
def test_impossible_orders_are_refused(tmp_path: Path, order: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="different parts in --order"):
        read_annotations(written(tmp_path), order, GEOMETRY)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--parts", "parts.txt"], "found only --parts"),
        (["--order", "beak"], "found only --order"),
        (["--parts", "none.txt", "--order", "beak"], "no file"),
        (["--parts", "bytes.txt", "--order", "beak"], "other bytes"),
        (["--parts", "empty.txt", "--order", "beak"], "in empty.txt, found none"),
        (["--parts", "parts.txt", "--order", "beak,crown"], "part crown"),
        (["--parts", "parts.txt", "--order", "tail", "--images", "2"], "none in 2 images"),
        (["--glimpses", "0"], "--glimpses of at least 1, found 0"),
        (["--images", "some"], "number of images"),
        (["--split", "test"], "'test' is not one of"),
        (["--dataset", "finite"], "knows where its objects are"),
        (["--glimpse-size", "41"], "1 to 40 pixels for images of 40 x 40, found 41"),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(
    words: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.txt").write_text("\n")
    before = sorted(tmp_path.iterdir())
    result = call("parts", *words)
    assert_refused(result, complaint)
    assert sorted(tmp_path.iterdir()) == before


def test_parts_of_boxes_are_written_grow_and_are_imitated(tmp_path: Path) -> None:
    digits = load_digits()
    for count in (20, 30):
        result = call("parts", "--run", tmp_path, "--images", count, "--glimpses", 3)
        assert result.exit_code == 0, result.output
        assert (
            f"{count} sequences of 3 glimpses" in result.stdout and "ps-parts --supervise\n" in result.stdout
        )
    store, boxes = SequenceStore.read(tmp_path / "sequences-parts.h5"), digits["design"].boxes
    assert boxes is not None
    where = torch.searchsorted(digits["design"].ids, store.ids)
    assert torch.equal(store.load().locations, part_sequences(boxes[where], digits.geometry, 3))
    words = ["--method", "ps-parts", "--supervise", "--glimpses", 3, "--epochs", 0.02]
    trained = call("train", "--run", tmp_path, *words)
    assert trained.exit_code == 0, trained.output
    settings = checkpoint.read_json(tmp_path / "hardattn-ps-parts-0" / checkpoint.RUN)["settings"]
    assert settings["supervision"]["images"] == 30 and settings["glimpses"] == 3


def test_annotated_parts_by_the_command_line(tmp_path: Path) -> None:
    ids = load_digits()["train"].ids[:4].tolist()
    path = written(tmp_path, "".join(f"{i} top {10 + n} 20 {int(n > 0)}\n" for n, i in enumerate(ids)))
    words = ["--parts", path, "--order", "top", "--split", "train", "--glimpses", 2, "--run", tmp_path]
    result = call("parts", *words)
    assert result.exit_code == 0, result.output
    count = len(load_digits()["train"])
    assert (
        result.stderr.splitlines()[-1]
        == f"left out {count - 3} of {count} images, which have no visible part"
    )
    store = SequenceStore.read(tmp_path / "sequences-parts-train.h5")
    assert store.ids.tolist() == ids[1:] and bool(store.done.all())
    assert str(store.path) in result.stdout
