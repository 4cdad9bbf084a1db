"""Whether a data set, or a split, is what it should be: the one is easily given for the other."""

from __future__ import annotations

from data.dataset import DataSet, Split
from data.errors import SettingsError


def require_dataset(dataset: object) -> None:
    """Raises SettingsError for what is no data set, as one of its splits."""
    if not isinstance(dataset, DataSet):
        raise SettingsError(
            f"expected a data set, of `data.load` or `DataSet.from_arrays`, found {type(dataset).__name__}; "
            "give the data set itself"
        )


def require_split(split: object) -> None:
    """Raises SettingsError for what is no split with images, as a data set."""
    if not isinstance(split, Split):
        raise SettingsError(
            f'expected a split, for example dataset["test"], found {type(split).__name__}; choose one'
        )
    if len(split) == 0:
        raise SettingsError("expected a split with images, found none in it; take another one")
