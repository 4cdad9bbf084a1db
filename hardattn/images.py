"""Arrays, lists and files of images as a network takes them: (N, H, W, C) uint8 of the size of its task."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.class_folders import SUFFIXES
from data.decode import opened_photo, squared
from data.errors import DataError
from data.geometry import Geometry
from data.modes import shown, upright_extent
from data.progress import progress

ImageLike = np.ndarray | Tensor | str | PathLike[str]
Images = ImageLike | Sequence[ImageLike]
SILENT = 50  # images that are read in no time
MODES = {1: "L", 3: "RGB"}


def batch_of(images: Images, geometry: Geometry) -> Tensor:
    """(N, H, W, C) uint8 of images of a task.

    Those of its size are taken as they are. Of others the central square is resampled to it (Lanczos), as
    `data.decode` does with the photographs of a data set; colour becomes grey, and grey colour, where the
    task has the other.

    Args:
        images: a batch (N, H, W, C) or, grey, (N, H, W); one image (H, W, C) or (H, W); a path, or that of a
            folder of images; or a list of images of any sizes and paths. Arrays are uint8 with 1 or 3
            channels.
        geometry: of the task.

    Raises:
        DataError: there is no image, or one that is not as above; the message says what was found.

    >>> batch_of(np.zeros((2, 6, 8), np.uint8), Geometry(4, 4, 3, glimpse_size=2)).shape
    torch.Size([2, 4, 4, 3])
    """
    size = (geometry.height, geometry.width, geometry.channels)
    if isinstance(images, (np.ndarray, Tensor)) and (array := _batch(images, geometry)).shape[1:] == size:
        batch = array
    else:
        every = list(_each(images, geometry))
        slow = len(every) > SILENT
        shown = progress(every, desc="read images", unit="image") if slow else every
        fitted = [_fitted(each, geometry) for each in shown]
        batch = np.stack(fitted) if fitted else np.zeros((0, *size), np.uint8)
    if len(batch) == 0:
        raise DataError("expected at least one image, found none; give an array, a list or a path")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has no read-only tensors; nothing here writes
        return torch.from_numpy(np.ascontiguousarray(batch))


def image_paths(path: Path) -> list[Path]:
    """The images of a folder, by name; of a file itself.

    Raises:
        DataError: there is no such file, or the folder has none.
    """
    if not path.is_dir():
        if not path.is_file():
            raise DataError(f"expected an image or a folder of images, found no {path}; check the path")
        return [path]
    files = (file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    paths = sorted(file for file in files if not file.is_dir())
    if not paths:
        raise DataError(f"expected images ({', '.join(sorted(SUFFIXES))}) in {path}, found none")
    return paths


def _each(images: Images, geometry: Geometry) -> Iterator[np.ndarray | Path]:
    """Single images (H, W, C), and paths of files."""
    if isinstance(images, (str, PathLike)):
        if not str(images):
            raise DataError(
                "expected a path of images, found an empty one; is a variable of the shell unset?"
            )
        yield from image_paths(Path(images))
    elif isinstance(images, (np.ndarray, Tensor)):
        yield from _batch(images, geometry)
    elif isinstance(images, Iterable):
        for image in images:
            yield from _each(image, geometry)
    else:
        raise DataError(f"expected arrays or paths of images, found {type(images).__name__}")


def _batch(images: np.ndarray | Tensor, geometry: Geometry) -> np.ndarray:
    """(N, H, W, C) of an array of one image or several; raises DataError for what is no image."""
    array: np.ndarray = images.cpu().numpy() if isinstance(images, Tensor) else images
    if array.dtype != np.uint8:
        raise DataError(
            f"expected images of uint8, grey levels from 0 to 255, found {array.dtype}; convert them, for "
            "example by (255 * images).round().astype('uint8') where they are from 0 to 1"
        )
    colours = {*MODES, geometry.channels}
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] not in colours):
        array = array[..., None]
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] not in colours or 0 in array.shape[1:]:
        raise DataError(
            f"expected images (N, H, W, C) with {' or '.join(map(str, sorted(colours)))} channels, (N, H, W) "
            f"or (H, W, C), found {tuple(images.shape)}"
        )
    return array


def _fitted(image: np.ndarray | Path, geometry: Geometry) -> np.ndarray:
    """(H, W, C) of the task's size."""
    if isinstance(image, Path):
        with opened_photo(image) as photo:
            return _sized(photo, geometry, str(image))
    if image.shape == (geometry.height, geometry.width, geometry.channels):
        return image
    return _sized(Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image), geometry, "an array")


def _sized(image: Image.Image, geometry: Geometry, name: str) -> np.ndarray:
    height, width, channels = geometry.height, geometry.width, geometry.channels
    extent = upright_extent(image)
    exact = extent == (height, width)
    if channels not in MODES or not (exact or height == width):
        raise DataError(
            f"expected images of {height} x {width} with {channels} channels, as in training, found {name} "
            f"of {extent[0]} x {extent[1]}; crop and resize it"
        )
    mode = MODES[channels]
    array = np.asarray(shown(image, mode)) if exact else squared(image, height, mode)
    return array.reshape(height, width, channels)
