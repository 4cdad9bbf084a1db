"""Images are brought to the size of a task as the photographs of a data set are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.decode import decode_square
from data.errors import DataError
from data.geometry import Geometry
from hardattn.images import batch_of, image_paths

COLOUR, GREY = Geometry(16, 16, 3, glimpse_size=4), Geometry(16, 16, 1, glimpse_size=4)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("geometry", "channels"), [(COLOUR, 3), (GREY, 1)])
def test_images_of_the_size_of_the_task_are_taken_as_they_are(geometry: Geometry, channels: int) -> None:
    images = noise(5, 16, 16, channels)
    assert np.array_equal(batch_of(images, geometry), images)
    assert torch.equal(batch_of(torch.from_numpy(images), geometry), torch.from_numpy(images))
    assert np.array_equal(batch_of(images[2], geometry), images[2:3])
    assert np.array_equal(batch_of(list(images), geometry), images)


def test_grey_images_need_no_axis_of_channels() -> None:
    images = noise(5, 16, 16)
    assert np.array_equal(batch_of(images, GREY)[..., 0], images)
    assert np.array_equal(batch_of(images[0], GREY)[..., 0], images[:1])


def test_photographs_are_as_the_decoder_makes_them(tmp_path: Path, write_photo: Callable[..., None]) -> None:
    paths = [tmp_path / name for name in ("b.png", "a.jpg")]
    for seed, path in enumerate(paths):
        write_photo(path, seed)
    (tmp_path / "notes.txt").write_text("no image")
    wanted = np.stack([decode_square(path, 16) for path in paths])
    assert np.array_equal(batch_of(paths, COLOUR), wanted)
    assert np.array_equal(batch_of([str(paths[0])], COLOUR), wanted[:1])
    assert np.array_equal(batch_of(tmp_path, COLOUR), wanted[::-1])  # by name
    pixels = np.asarray(Image.open(paths[0]))
    assert pixels.shape == (30, 40, 3)
    assert np.array_equal(batch_of([pixels, wanted[1]], COLOUR), wanted)  # of different sizes


def test_colour_becomes_grey_and_grey_colour() -> None:
    colours, greys = noise(2, 16, 16, 3), noise(2, 16, 16, 1)
    luminance = [np.asarray(Image.fromarray(image).convert("L")) for image in colours]
    assert np.array_equal(batch_of(colours, GREY)[..., 0], np.stack(luminance))
    assert np.array_equal(batch_of(greys, COLOUR), greys.repeat(3, -1))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 16, 16, 3), np.float32), r"uint8, grey levels from 0 to 255, found float32; .*255"),
        (noise(2, 16, 16, 4), r"1 or 3 channels, .* found \(2, 16, 16, 4\)"),
        (noise(2, 2, 16, 16, 3), r"found \(2, 2, 16, 16, 3\)"),
        (noise(16), r"found \(16,\)"),
        (noise(2, 0, 16, 3), r"found \(2, 0, 16, 3\)"),
        ([], "at least one image, found none"),
        (None, "arrays or paths of images, found NoneType"),
        ("nowhere.png", "an image or a folder of images, found no nowhere.png"),
    ],
)
def test_what_is_no_image_is_refused(images: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        batch_of(images, COLOUR)


def test_a_file_that_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a readable image, found .*broken\.png"):
        batch_of(tmp_path, COLOUR)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images \(.avif, .* .webp\) in .*, found none"):
        image_paths(tmp_path)


def test_images_of_a_task_that_is_not_square_are_not_squeezed() -> None:
    wide = Geometry(8, 16, 3, glimpse_size=4)
    images = noise(2, 8, 16, 3)
    assert np.array_equal(batch_of(images, wide), images)
    with pytest.raises(DataError, match="8 x 16 with 3 channels, as in training, found an array of 16 x 16"):
        batch_of(noise(2, 16, 16, 3), wide)


def test_an_image_of_the_size_of_the_task_is_seen_as_any_other(tmp_path: Path) -> None:
    levels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1028
    Image.fromarray(levels).save(tmp_path / "deep.png")
    found = batch_of(tmp_path / "deep.png", Geometry(8, 8, 1, glimpse_size=2))
    assert found.flatten().tolist() == [4 * n for n in range(64)]
