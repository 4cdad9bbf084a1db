"""What is salient in images: masks or maps in files beside the photographs, or what a data set knows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.dataset import DataSet, Saliency
from data.decode import opened_photo, squared
from data.errors import DataError, SettingsError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm")


@dataclass(frozen=True)
class SaliencyMaps:
    """Those of the images of a split.

    Attributes:
        of: rows (M,) of the split -> (M, H, W) uint8.
        digest: what identifies them.
    """

    of: Saliency
    digest: str


def saliency_of(dataset: DataSet, split: str, folder: Path | None = None) -> SaliencyMaps:
    """The saliency of the images of a split: bright where one should look, black where not.

    Args:
        folder: of masks or maps, each with the name of its photograph and the folders that it lies in, such
            as train/CLASS/NAME.png; its central square is taken, as the photograph's is. None: what the data
            set knows itself, the pixels of its objects.

    Raises:
        SettingsError: nothing is known, or images in no files.
        DataError: a map is missing or unreadable.

    >>> from data.registry import load
    >>> maps = saliency_of(load("digits"), "test")
    >>> maps.of(torch.arange(2)).shape, maps.digest
    (torch.Size([2, 40, 40]), 'own')
    """
    if folder is not None:
        return _in_folder(dataset, split, folder)
    if dataset.saliency is None:
        raise SettingsError(
            f"expected --saliency DIR with {dataset.name}, which does not know the pixels of its objects, "
            "found none; name a folder of masks or saliency maps, or take digits, translated-mnist or "
            "cluttered-mnist"
        )
    return SaliencyMaps(dataset.saliency(split), "own")


def _in_folder(dataset: DataSet, split: str, folder: Path) -> SaliencyMaps:
    if dataset.files is None:
        raise SettingsError(
            f"expected photographs in files with --saliency DIR, found {dataset.name}; take folder or cub, "
            "or leave it out where a data set knows the pixels of its objects"
        )
    size, names = dataset.geometry.image_size[0], dataset.files(split)
    paths, hasher = [_map_of(folder / name) for name in names], hashlib.sha256()
    for name, path in zip(names, paths, strict=True):
        hasher.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())

    def decoded(rows: Tensor) -> Tensor:
        maps = np.stack([_decoded(paths[row], size) for row in rows.tolist()])
        return torch.from_numpy(maps)

    return SaliencyMaps(decoded, hasher.hexdigest())


def _map_of(photograph: Path) -> Path:
    """The map with the name of a photograph, whatever the kind of file."""
    for suffix in (photograph.suffix, *SUFFIXES):
        path = photograph.with_suffix(suffix)
        if path.is_file():
            return path
    raise DataError(
        f"expected the saliency {photograph.with_suffix('.png')}, found none; add it, or name another folder "
        "in --saliency"
    )


def _decoded(path: Path, size: int) -> np.ndarray:
    with opened_photo(path) as image:
        return squared(image, size, "L")
