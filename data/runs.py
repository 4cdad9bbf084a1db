"""Where the runs of a data set are, unless another folder is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.dataset import DataSet  # slow to import, and no name of a folder needs it


def default_run(dataset: DataSet) -> Path:
    """runs/DATASET, or runs/DATASET-TARGET where there are several targets, or their number if all at once.

    >>> from data.registry import load
    >>> default_run(load("digits")).as_posix()
    'runs/digits'
    """
    if dataset.attributes:
        return Path("runs") / f"{dataset.name}-{len(dataset.attributes)}-attributes"
    several = dataset.target != "label"
    return Path("runs") / (f"{dataset.name}-{dataset.target}" if several else dataset.name)
