"""The attribute file of CelebA-HQ: line ends do not matter, all else is checked and named by its line."""

from pathlib import Path

import pytest

from data.celebahq_annotations import read_annotations
from data.errors import DataError

GOOD = "3\nBald Male\n7.jpg  1 -1\n2.jpg -1 -1\n5.jpg  1  1\n"


@pytest.mark.parametrize(
    "written", [GOOD.encode(), GOOD.replace("\n", "\r\n").encode(), b"\xef\xbb\xbf" + GOOD.encode()]
)
def test_line_ends_and_a_mark_of_the_byte_order_do_not_matter(written: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(written)
    names, ids, labels = read_annotations(tmp_path / "a.txt")
    assert names == ["Bald", "Male"] and ids.tolist() == [2, 5, 7]
    assert labels.tolist() == [[0, 0], [1, 1], [1, 0]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3\n", "", "the number of images in line 1 of .*, found 'Bald Male'"),
        ("3\nBald Male", "image_id,Bald,Male", "line 1 of .*, found 'image_id,Bald,Male'"),
        ("3\n", "4\n", "the number of the 3 images below in line 1 of .*, found '4'"),
        ("2.jpg -1 -1", "2.jpg -1", r"N\.jpg and 2 values of -1 or 1 in line 4 of .*, found '2\.jpg -1'"),
        ("2.jpg -1 -1", "2.jpg -1 0", r"line 4 of .*, found '2\.jpg -1 0'"),
        ("2.jpg -1 -1", "two.png -1 1", r"an image N\.jpg in line 4"),
        ("2.jpg", "7.jpg", r"every image once in .*, found 1 of them twice, as 7\.jpg"),
        (GOOD[2:], "", "the names of attributes, and images below in line 2"),
    ],
)
def test_what_is_another_edition_is_named_by_its_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in GOOD
    (tmp_path / "a.txt").write_text(GOOD.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_annotations(tmp_path / "a.txt")
