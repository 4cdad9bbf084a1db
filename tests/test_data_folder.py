import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from data.cli.options import open_task
from data.dataset import SPLITS
from data.errors import DataError, SettingsError, on_one_line
from data.folder import load_folder
from data.registry import reopen

Write = Callable[..., None]


@pytest.fixture
def root(tmp_path: Path, write_photo: Write) -> Path:
    for n in range(60):
        write_photo(tmp_path / "train" / "bd"[n % 2] / f"{n}.jpg", n)
    for n, name in enumerate(["d/1.jpeg", "b/2.png", "b/1.JPG", "b/.hidden.jpg", "b/notes.txt.jpg.bak"]):
        write_photo(tmp_path / "val" / name.removesuffix(".bak"), n)
    (tmp_path / "val/b/notes.txt.jpg").rename(tmp_path / "val/b/notes.txt")
    return tmp_path


def test_training_files_are_parted_and_validation_files_are_the_test(root: Path) -> None:
    opened = load_folder(root, size=20)
    ids = torch.cat([opened[split].ids for split in ("design", "train", "valid")])
    assert torch.equal(ids.sort().values, torch.arange(60))
    assert len(opened["train"]) > 40
    assert opened.classes == ("b", "d")
    assert opened["test"].ids.tolist() == [0, 1, 2]
    assert opened["test"].labels.tolist() == [0, 0, 1]  # sorted: b/1.JPG b/2.png d/1.jpeg
    for split in SPLITS:
        assert opened[split].images.shape[1:] == (20, 20, 3)


def test_labels_are_those_of_the_folders(root: Path) -> None:
    opened = load_folder(root, size=20)
    for split in ("design", "train", "valid"):
        names = sorted(f"{path.parent.name}/{path.name}" for path in (root / "train").glob("*/*"))
        expected = ["bd".index(names[n][0]) for n in opened[split].ids.tolist()]
        assert opened[split].labels.tolist() == expected


def test_a_new_file_moves_no_other_to_another_split(root: Path, write_photo: Write) -> None:
    def members() -> dict[str, set[bytes]]:
        opened = load_folder(root, size=20)
        return {split: {x.numpy().tobytes() for x in opened[split].images} for split in SPLITS[:3]}

    before = members()
    write_photo(root / "train" / "b" / "00.jpg", 1000)
    after = members()
    assert sum(len(after[split] - before[split]) for split in before) == 1
    assert all(before[split] <= after[split] for split in before)


def test_a_validation_folder_alone_can_be_tested(tmp_path: Path, write_photo: Write) -> None:
    write_photo(tmp_path / "val" / "ant" / "1.png", 0)
    opened = load_folder(tmp_path, size=20)
    assert opened.classes == ("ant",)
    assert len(opened["test"]) == 1
    with pytest.raises(DataError, match=r"expected the train images .* found no such folder"):
        opened["train"]


def test_a_training_folder_alone_has_no_test(tmp_path: Path, write_photo: Write) -> None:
    for name in ("ant", "bee"):
        write_photo(tmp_path / "train" / name / "1.png", 0)
    with pytest.raises(DataError, match=r"expected the test images .*val/CLASS"):
        load_folder(tmp_path)["test"]


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no folder .*absent; give the folder above"):
        load_folder(tmp_path / "absent")
    with pytest.raises(DataError, match="found none of them; give the folder above"):
        load_folder(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=r"one folder per class in .*train, found none"):
        load_folder(tmp_path)
    (tmp_path / "train" / "ant").mkdir()
    with pytest.raises(DataError, match=r"expected images in .*train/CLASS/.* found none"):
        load_folder(tmp_path)


@pytest.fixture
def plain(tmp_path: Path, write_photo: Write) -> Path:
    """Sixty photographs in folders of two classes, which nobody has parted."""
    for n in range(60):
        write_photo(tmp_path / "plain" / "bd"[n % 2] / f"{n}.jpg", n)
    return tmp_path / "plain"


def members(root: Path) -> dict[str, set[str]]:
    """Split -> names of its files."""
    opened = load_folder(root, size=20)
    assert opened.files is not None
    for split in SPLITS:
        assert len(opened[split]) == len(opened.files(split))
    return {split: {Path(name).name for name in opened.files(split)} for split in SPLITS}


def test_plain_class_folders_are_parted_by_the_bytes_of_their_files(plain: Path) -> None:
    opened, parts = load_folder(plain, size=20), members(plain)
    assert opened.classes == ("b", "d") and "a hash of the bytes of each file" in opened.note
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 60
    assert len(parts["train"]) > len(parts["test"]) > 0
    names = sorted(f"{path.parent.name}/{path.name}" for path in plain.glob("*/*"))
    for split in SPLITS:
        assert opened[split].labels.tolist() == ["bd".index(names[n][0]) for n in opened[split].ids.tolist()]
    (plain / "owl").mkdir()  # nothing in it: no class
    assert load_folder(plain, size=20).classes == ("b", "d")


def test_a_name_decides_nothing_and_copies_stay_together(plain: Path) -> None:
    before = members(plain)
    for n in range(0, 60, 7):  # of one class copies lie in the folder of the other
        copy = plain / "db"[n % 2] / f"{n}.jpg"
        copy.write_bytes((plain / "bd"[n % 2] / f"{n}.jpg").read_bytes())
    (plain / "b" / "58.jpg").rename(plain / "b" / "new name.jpg")
    after, opened = members(plain), load_folder(plain, size=20)
    assert {
        split: {name.replace("new name", "58") for name in each} for split, each in after.items()
    } == before
    copies = sum(len(opened[split]) - len(opened[split].originals.unique()) for split in SPLITS)
    assert copies == 9


def test_photographs_in_no_class_folder_are_refused(tmp_path: Path, write_photo: Write) -> None:
    write_photo(tmp_path / "1.png", 0)
    with pytest.raises(DataError, match="found 1 images in no folder of a class; give the folder above"):
        load_folder(tmp_path)
    write_photo(tmp_path / "ant" / "1.png", 0)
    with pytest.raises(DataError, match="two classes at least .* found those of ant alone; give the folder"):
        load_folder(tmp_path)


def test_an_unreadable_image_is_named(root: Path) -> None:
    (root / "val" / "b" / "3.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"expected a readable image, found .*val/b/3\.jpg"):
        load_folder(root)["test"]


def test_a_class_that_was_not_trained_is_refused(root: Path, write_photo: Write) -> None:
    write_photo(root / "val" / "zebra" / "1.jpg", 0)
    with pytest.raises(DataError, match=r"only classes of train/ .* found zebra"):
        load_folder(root)["test"]


@pytest.mark.parametrize(("size", "per_axis"), [(128, 29), (16, 1), (64, 13)])
def test_grid_has_a_stride_of_about_four(root: Path, size: int, per_axis: int) -> None:
    rows = load_folder(root, size).geometry.grid().parts[0].rows
    assert len(rows) == per_axis
    assert all(b - a == 4 for a, b in zip(rows, rows[1:], strict=False))


def test_images_smaller_than_a_glimpse_are_refused(root: Path) -> None:
    with pytest.raises(SettingsError, match="glimpse of 1 to 12 pixels"):
        load_folder(root, size=12).geometry.grid()


def test_real_flowers(real_data: Callable[[str], Path]) -> None:
    opened = load_folder(real_data("flowers"), size=32)
    assert len(opened.classes) == 5
    assert len(opened["test"].labels.bincount()) == 5
    assert 0.08 < len(opened["valid"]) / sum(len(opened[s]) for s in SPLITS[:3]) < 0.12


def test_what_is_left_out_is_told_and_counted(root: Path) -> None:
    assert load_folder(root, size=20).note == (
        "val/: 1 files left out that are no images (.txt 1), 1 hidden files left out"
    )
    (root / "train/owl").mkdir()
    (root / "train/b/more").mkdir()
    for name in ("1.mov", "2.mov", "Thumbs.db"):
        (root / "train/d" / name).write_text("")
    assert load_folder(root, size=20).note.startswith(
        "train/: 3 files left out that are no images (.mov 2, .db 1), 1 folders inside of class folders left "
        "out, no image of 1 classes (owl); val/: "
    )


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".BMP", ".gif", ".ppm"])
def test_images_of_any_usual_kind_are_read(suffix: str, root: Path, write_photo: Write) -> None:
    write_photo(root / "val" / "d" / f"9{suffix}", 9)
    assert len(load_folder(root, size=20)["test"]) == 4


def test_a_folder_too_high_is_no_task(tmp_path: Path, write_photo: Write) -> None:
    write_photo(tmp_path / "train" / "images" / "1.png", 0)
    with pytest.raises(DataError, match="two classes at least .* found those of images alone"):
        load_folder(tmp_path)


def test_names_need_not_be_utf_8(root: Path) -> None:
    files = sorted((root / "val/b").glob("*.png"))
    strange = os.fsencode(files[0].parent) + b"/Espa\xf1a.png"
    os.rename(os.fsencode(files[0]), strange)
    assert len(load_folder(root, size=20)["test"]) == 3
    with open(strange, "wb") as file:
        file.write(b"no image")
    with pytest.raises(DataError, match="Espa") as found:
        load_folder(root, size=20)["test"]
    assert r"Espa\udcf1a.png" in on_one_line(str(found.value))


def test_a_list_takes_some_of_the_classes(root: Path, write_photo: Write) -> None:
    for part in ("train", "val"):
        write_photo(root / part / "z" / "1.jpg", 1)
    listed = load_folder(root, size=20, classes=["d", "b"])
    every = load_folder(root, size=20)
    assert (listed.classes, every.classes) == (("b", "d"), ("b", "d", "z"))
    for split in SPLITS:
        assert listed[split].labels.tolist() == [n for n in every[split].labels.tolist() if n < 2]
    with pytest.raises(DataError, match=r"expected a folder x in .*train, found none and of 1 more; change"):
        load_folder(root, size=20, classes=["d", "y", "x"])
    with pytest.raises(DataError, match="found those of d alone; name another in the list of classes"):
        load_folder(root, size=20, classes=["d"])


def test_a_file_of_classes_is_opened_again_without_it(root: Path) -> None:
    names = root / "names.txt"
    names.write_text("d\nb\n")
    opened = open_task({"name": "folder", "data_root": root, "classes": names})
    assert opened.origin["classes"] == ("d", "b")
    names.unlink()
    origin = json.loads(json.dumps(opened.origin))
    assert reopen(origin, None, "a file").classes == ("b", "d")
    with pytest.raises(SettingsError, match="text file of class names"):
        open_task({"name": "folder", "data_root": root, "classes": names})
    names.write_text("# nothing\n\n")
    with pytest.raises(SettingsError, match="class name on each line"):
        open_task({"name": "folder", "data_root": root, "classes": names})
