"""Which tasks can be enumerated, and the enumeration of one."""

from __future__ import annotations

from torch import Tensor

from boed.enumeration.exact import Enumeration
from data.errors import SettingsError
from data.finite import templates
from data.geometry import Geometry


def enumeration(name: str, geometry: Geometry, places: Tensor) -> Enumeration:
    """All images of the data set of this name at the places (L, 3).

    Raises:
        SettingsError: they cannot be enumerated.
    """
    require_enumerable(name)
    return Enumeration(*templates(), geometry, places)


def require_enumerable(name: str) -> None:
    """Raises SettingsError for a data set whose images cannot be enumerated."""
    if name != "finite":
        raise SettingsError(
            f"expected the data set finite for what is exact, found {name}; add --dataset finite"
        )
