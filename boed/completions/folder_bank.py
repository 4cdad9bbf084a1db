"""Images of any folder as a bank that completions are retrieved from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from boed.completions.canvas_state import CHUNK
from data.class_folders import SUFFIXES
from data.dataset import Split
from data.decode import photo_store
from data.errors import DataError, SettingsError
from data.geometry import Geometry


def folder_bank(root: Path, geometry: Geometry) -> Split:
    """Any folder of images, real or generated, as a bank: central squares at the task's size, without labels.

    Args:
        root: its images (.jpg, .jpeg, .png) may lie in folders; names with a leading dot are left out.
        geometry: of the task; of one channel, colours are averaged.

    Raises:
        DataError: no such folder, no images, or one that cannot be read.
        SettingsError: the task's images are not square.
    """
    paths = image_files(root)
    if geometry.height != geometry.width:
        raise SettingsError(
            f"expected square images of the task for a bank of files, found {geometry.height} x "
            f"{geometry.width}; leave out --bank"
        )
    ids = np.arange(len(paths))
    split = Split.of(photo_store(paths, ids, np.zeros_like(ids), geometry.height, title="decode bank"))
    if geometry.channels == 3:
        return split
    grey = [part.sum(-1, keepdim=True) // 3 for part in split.images.split(CHUNK)]
    return replace(split, images=torch.cat([part.to(torch.uint8) for part in grey]))


def image_files(root: Path) -> list[Path]:
    """The sorted image files of a folder and of those in it; raises DataError for none."""
    if not root.is_dir():
        raise DataError(f"expected a folder of images for the bank, found no folder {root}; set --bank")
    files = (path for path in sorted(root.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file())
    visible = [path for path in files if not any(part[0] == "." for part in path.relative_to(root).parts)]
    if not visible:
        raise DataError(f"expected images ({', '.join(sorted(SUFFIXES))}) in {root}, found none; set --bank")
    return visible
