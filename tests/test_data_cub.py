"""Birds: splits, boxes and named parts in pixels of the task's images, and what is refused."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner, Result

from data.cub import load_cub
from data.dataset import SPLITS, DataSet
from data.errors import DataError, SettingsError
from data.logs import read_log
from hardattn.cli.main import main
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from supervision.annotations import named_parts
from supervision.parts import nearest_on_grid
from supervision.store import SequenceStore

Write = Callable[..., None]
COUNT = 40
PLACES_FILE = "parts/part_locs.txt"
LANDSCAPE, PORTRAIT = 3, 4
BOXES = {LANDSCAPE: "15 10 20.0 30", PORTRAIT: "8 0 10.5 20"}
PARTS = ("belly", "left eye", "tail", "beak")
PLACES = {LANDSCAPE: {1: "30 10 1", 2: "9 9 1", 4: "25 20 1"}, PORTRAIT: {1: "20 40 1", 4: "20 40 0"}}


def name(image: int) -> str:
    return f"{1 + image % 2:03}.Bird_{'ab'[image % 2]}/{image}.jpg"


@pytest.fixture
def root(tmp_path: Path, write_photo: Write) -> Path:
    """Photographs of 60 x 40 pixels, number 4 of 40 x 60; every fourth is a test image."""
    folder, ids = tmp_path / "data" / "CUB_200_2011", range(1, COUNT + 1)
    for image in ids:
        write_photo(folder / "images" / name(image), image, (40, 60) if image == PORTRAIT else (60, 40))
    places = {image: PLACES.get(image, {4: "30 20 1"}) for image in ids}
    lines = {
        "images.txt": [f"{i} {name(i)}" for i in reversed(ids)],
        "image_class_labels.txt": [f"{i} {10 + i % 2}" for i in ids],
        "train_test_split.txt": [f"{i} {int(i % 4 > 0)}" for i in ids],
        "bounding_boxes.txt": [f"{i} {BOXES.get(i, '0 0 60 40')}" for i in ids],
        "parts/parts.txt": [f"{number} {part}" for number, part in enumerate(PARTS, 1)],
        PLACES_FILE: [f"{i} {part} {at}" for i in ids for part, at in places[i].items()],
    }
    (folder / "parts").mkdir()
    for file, its in lines.items():
        (folder / file).write_text("\n".join(its) + "\n")
    return tmp_path / "data"


def box_of(dataset: DataSet, image: int) -> list[int]:
    split = next(dataset[split] for split in SPLITS if image in dataset[split].ids)
    assert split.boxes is not None
    return split.boxes[split.ids == image][0].tolist()


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_splits_are_disjoint_and_complete(root: Path) -> None:
    birds = load_cub(root, 64)
    ids = {split: birds[split].ids.tolist() for split in SPLITS}
    assert ids["test"] == [*range(4, COUNT + 1, 4)]
    assert sorted(i for split in SPLITS for i in ids[split]) == [*range(1, COUNT + 1)]
    assert len(ids["train"]) > len(ids["design"]) + len(ids["valid"])
    assert all(birds[split].images.shape[1:] == (64, 64, 3) for split in SPLITS)
    assert birds.classes == ("001.Bird_a", "002.Bird_b")
    assert all(torch.equal(birds[split].labels, birds[split].ids % 2) for split in SPLITS)


def test_the_folder_itself_is_as_good_as_the_one_it_lies_in(root: Path) -> None:
    assert load_cub(root / "CUB_200_2011", 64).fingerprint() == load_cub(root, 64).fingerprint()


def test_the_grid_is_that_of_the_published_sequences(root: Path) -> None:
    grid = load_cub(root).geometry.grid().parts[0]
    assert len(grid) == 169 and grid.rows == tuple(range(0, 97, 8))


def test_boxes_go_through_crop_and_resize(root: Path) -> None:
    """The middle of 60 x 40 begins at column 10; 40 pixels become 80."""
    birds = load_cub(root, 80)
    assert box_of(birds, LANDSCAPE) == [20, 10, 80, 50]
    assert box_of(birds, PORTRAIT) == [0, 16, 20, 37]  # rows 0 to 20 begin 10 above; 18.5 is within column 36
    assert box_of(birds, 1) == [0, 0, 80, 80]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("0 10 5 10", [20, 0, 40, 1]),
        ("50 10 5 10", [20, 79, 40, 80]),
        ("55 39 0 0", [78, 79, 79, 80]),
        ("10 0 40 40", [0, 0, 80, 80]),
    ],
)
def test_an_object_outside_has_a_pixel_at_the_nearest_border(
    root: Path, told: str, expected: list[int]
) -> None:
    path = root / "CUB_200_2011" / "bounding_boxes.txt"
    path.write_text(path.read_text().replace("1 0 0 60 40", f"1 {told}", 1))
    assert box_of(load_cub(root, 80), 1) == expected


def test_images_are_the_squares_that_the_boxes_are_told_for(root: Path) -> None:
    from PIL import Image

    path = root / "CUB_200_2011" / "images" / name(LANDSCAPE)
    picture = Image.new("RGB", (60, 40))
    picture.paste((255, 255, 255), (15, 10, 35, 40))
    picture.save(path, quality=100)
    birds = load_cub(root, 80)
    split = next(birds[split] for split in SPLITS if LANDSCAPE in birds[split].ids)
    bright = (split.images[split.ids == LANDSCAPE][0] > 127).all(2).nonzero()
    assert [*bright.amin(0).tolist(), *(bright.amax(0) + 1).tolist()] == box_of(birds, LANDSCAPE)


def parts_of(birds: DataSet, image: int, order: tuple[str, ...] | None, glimpses: int) -> list[list[float]]:
    split = next(split for split in SPLITS if image in birds[split].ids)
    found = named_parts(birds, split, order)
    return found.places(found.of(torch.tensor([image])), glimpses)[0].tolist()


def test_parts_go_through_crop_and_resize_and_hidden_ones_are_replaced(root: Path) -> None:
    birds = load_cub(root, 80)
    beak, belly = [40.0, 30.0], [20.0, 40.0]
    assert parts_of(birds, LANDSCAPE, ("beak", "belly"), 3) == [beak, belly, beak]
    assert parts_of(birds, LANDSCAPE, ("left eye", "beak", "belly"), 3) == [beak, beak, belly]  # outside
    assert parts_of(birds, PORTRAIT, ("beak", "belly"), 2) == [[60.0, 40.0]] * 2  # its beak is hidden
    assert parts_of(birds, LANDSCAPE, None, 4) == [beak, belly, belly, beak]  # beak, left eye, belly


def test_images_without_a_visible_part_are_left_out(root: Path) -> None:
    birds = load_cub(root, 80)
    assert named_parts(birds, "test", ("belly",)).ids.tolist() == [PORTRAIT]
    with pytest.raises(DataError, match=r"expected part crown of --order in the parts of cub, found beak"):
        named_parts(birds, "test", ("crown",))
    with pytest.raises(SettingsError, match="different parts in --order"):
        named_parts(birds, "test", ())


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("images.txt", "41", "'id path'.* found '41' in line 41"),
        ("images.txt", "1.5 a/b.jpg", "found '1.5 a/b.jpg'"),
        ("images.txt", "7 a/b.jpg", "number 7 once"),
        ("images.txt", "41 a/b.jpg", "image_class_labels.txt, found 0 for image 41"),
        ("image_class_labels.txt", "41 one", "'id class'.* found '41 one'"),
        ("image_class_labels.txt", "7 1", "found 2 for image 7"),
        ("train_test_split.txt", "41 2", "found '41 2'"),
        ("bounding_boxes.txt", "41 0 0 nan 1", "found '41 0 0 nan 1'"),
        ("bounding_boxes.txt", "41 0 0 -1 1", "found '41 0 0 -1 1'"),
        ("bounding_boxes.txt", "41 0 0 1", "found '41 0 0 1'"),
        ("bounding_boxes.txt", "41 0 0 1 1 1", "found '41 0 0 1 1 1'"),
        ("parts/parts.txt", "five crown", "'part_id name'.* found 'five crown'"),
        (PLACES_FILE, "1 1 2 3 yes", "'id part_id x y visible'.* found '1 1 2 3 yes'"),
        (PLACES_FILE, "1 9 2 3 1", "found 9;"),
        (PLACES_FILE, "1 4 2 3 1", "found part 4 of image 1 2 times"),
    ],
)
def test_bad_lines_are_refused(root: Path, file: str, line: str, complaint: str) -> None:
    with (root / "CUB_200_2011" / file).open("a") as opened:
        opened.write(line + "\n")
    with pytest.raises(DataError, match=f"expected .*{complaint}.*set --data-root") as raised:
        named_parts(load_cub(root, 80), "test")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", ["images.txt", "bounding_boxes.txt", "parts/parts.txt", PLACES_FILE])
def test_missing_and_empty_files_are_named(root: Path, file: str) -> None:
    path = root / "CUB_200_2011" / file
    path.write_text("\n")
    with pytest.raises(DataError, match=f"expected lines .*{file}, found none; set --data-root"):
        named_parts(load_cub(root, 80), "test")
    path.unlink()
    with pytest.raises(DataError, match=f"expected lines .*{file}, found no file; set --data-root"):
        named_parts(load_cub(root, 80), "test")


def test_missing_and_unreadable_photographs_are_named(root: Path) -> None:
    path = root / "CUB_200_2011" / "images" / name(PORTRAIT)
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"expected a readable image, found .*Bird_a/4\.jpg"):
        load_cub(root, 80)["test"]
    path.unlink()
    with pytest.raises(DataError, match=r"expected the photograph .*Bird_a/4\.jpg, found none; set"):
        load_cub(root, 80)["test"]


def test_parts_by_the_command_line(root: Path, tmp_path: Path) -> None:
    task = ["--dataset", "cub", "--data-root", root, "--split", "train", "--glimpses", 2]
    made = call("parts", *task, "--run", tmp_path / "run", "--order", "beak, belly")
    assert made.exit_code == 0, made.output
    birds, store = load_cub(root), SequenceStore.read(tmp_path / "run" / "sequences-parts-train.h5")
    assert torch.equal(store.ids, birds["train"].ids) and LANDSCAPE in store.ids
    beak, belly = torch.tensor([20.0, 15]) * 128 / 40, torch.tensor([10.0, 20]) * 128 / 40
    expected = nearest_on_grid(torch.stack([beak, belly]), birds.geometry)
    assert torch.equal(store.load().locations[store.ids == LANDSCAPE][0], expected)
    assert expected[0].tolist() == [48, 32, 32]
    assert call("parts", *task, "--run", tmp_path / "other").exit_code == 0
    for order, complaint in (("beak,crown", "expected part crown"), ("tail", "none in")):
        refused = call("parts", *task, "--run", tmp_path / "no", "--order", order)
        assert_refused(refused, complaint)
        assert not (tmp_path / "no").exists()


def test_the_reward_box_takes_birds(root: Path, tmp_path: Path) -> None:
    birds = load_cub(root, 40)
    run = train(
        birds,
        tmp_path / "run",
        method="ram",
        glimpses=2,
        budget=Budget(epochs=0.01),
        rewards={"box": 1.0},
        device="cpu",
    )
    assert checkpoint.read_json(run / checkpoint.RUN)["settings"]["recipe"]["rewards"] == {"box": 1.0}
    *_, line = read_log(run / checkpoint.LOG)
    assert line["iteration"] > 0 and math.isfinite(line["nll"])
