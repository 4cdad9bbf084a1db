"""What a photograph shows: levels of 16 bits, transparency, turns, and files that are broken in any way."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.decode import decode_square, opened_photo, photo_extents
from data.errors import DataError
from data.modes import shown

Kind = Callable[[np.ndarray], Image.Image]
LEVELS = np.array([[0, 64], [128, 255]], np.uint8)


@pytest.mark.parametrize(
    "kept",
    [
        lambda grey: Image.fromarray(grey),
        lambda grey: Image.fromarray(grey.astype(np.uint16) * 257),
        lambda grey: Image.fromarray(grey).convert("RGB"),
        lambda grey: Image.fromarray(grey).convert("RGBA"),
        lambda grey: Image.fromarray(grey).convert("P"),
    ],
    ids=["L", "I;16", "RGB", "RGBA", "P"],
)
def test_whatever_keeps_the_same_grey_shows_the_same_grey(kept: Kind, tmp_path: Path) -> None:
    kept(LEVELS).save(tmp_path / "a.png")
    assert np.array_equal(decode_square(tmp_path / "a.png", 2), np.repeat(LEVELS[..., None], 3, 2))


@pytest.mark.parametrize("suffix", ["pgm", "png", "tif"])
def test_sixteen_bits_of_any_file_are_as_many_levels(suffix: str, tmp_path: Path) -> None:
    path, deep = tmp_path / f"deep.{suffix}", LEVELS.astype(np.uint16) * 257
    if suffix == "pgm":
        path.write_bytes(b"P5 2 2 65535\n" + deep.astype(">u2").tobytes())
    else:
        Image.fromarray(deep).save(path)
    assert np.array_equal(decode_square(path, 2)[..., 0], LEVELS)


def test_shapes_in_transparency_are_seen_whether_black_or_white() -> None:
    opaque = np.array([[0, 255]], np.uint8)
    for colour in (0, 255):
        image = Image.fromarray(np.stack([np.full_like(opaque, colour), opaque], -1), "LA")
        assert np.asarray(shown(image, "L")).tolist() == [[128, colour]]
    told = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    told.putpalette([9, 9, 9, 200, 200, 200])
    told.info["transparency"] = 0
    assert np.asarray(shown(told, "L")).tolist() == [[128, 200]]


@pytest.mark.parametrize(("orientation", "first"), [(1, 0), (3, 255), (6, 128), (8, 64)])
def test_a_photograph_is_turned_as_its_camera_was_held(orientation: int, first: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(LEVELS).save(tmp_path / "a.png", exif=exif)
    assert int(decode_square(tmp_path / "a.png", 2)[0, 0, 0]) == first
    Image.new("L", (8, 4)).save(tmp_path / "wide.png", exif=exif)
    assert photo_extents([tmp_path / "wide.png"]).tolist() == [[8, 4] if orientation > 4 else [4, 8]]


@pytest.mark.parametrize("levels", [np.zeros((2, 2), np.float32), np.zeros((2, 2), np.int32)])
def test_levels_without_a_white_are_refused(levels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(levels).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: expected an image of 8 or 16 bits .* found mode [FI],"):
        decode_square(tmp_path / "a.tif", 2)


@pytest.mark.parametrize("error", [KeyError("tag"), IndexError("row"), ZeroDivisionError(), MemoryError()])
def test_whatever_a_decoder_raises_names_the_file(error: Exception, tmp_path: Path) -> None:
    Image.fromarray(LEVELS).save(tmp_path / "a.png")
    with (
        pytest.raises(DataError, match=r"a\.png \(.*Error: .*replace or remove it"),
        opened_photo(tmp_path / "a.png"),
    ):
        raise error


def test_what_keeps_one_from_reading_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it is not there any more"):
        decode_square(tmp_path / "gone.png", 2)
