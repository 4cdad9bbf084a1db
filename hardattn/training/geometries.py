"""The sensor that a network is trained with: as asked for, as sequences have it, as the method needs it."""

from __future__ import annotations

from data.dataset import DataSet
from data.errors import SettingsError, StoreError
from data.geometry import Geometry, affine_crops
from data.side_names import MAGNIFICATION
from hardattn.objectives.registry import METHODS
from supervision.source import SequenceSource


def geometry_of(
    name: str,
    dataset: DataSet,
    store: SequenceSource | None,
    wanted: Geometry | None,
    magnification: float | None,
) -> Geometry:
    """The geometry that a method trains with; raises SettingsError for choices that it has no use for."""
    if not METHODS[name].crops:
        if magnification is not None:
            raise SettingsError(
                f"expected --method multiglimpse with --magnification, found {name}; take one"
            )
        return geometry_for(dataset, store, wanted)
    if wanted is not None:
        raise SettingsError(
            f"expected --magnification to choose the glimpse with --method {name}, found options of the "
            "sensor; leave them out"
        )
    return affine_crops(dataset.geometry, MAGNIFICATION if magnification is None else magnification)


def require_glimpses(steps: int, geometry: Geometry) -> None:
    """Raises SettingsError for no glimpse, or none beside a first glance; affine crops may be that alone.

    >>> require_glimpses(2, Geometry(8, 8, 1, glimpse_size=4, first_glance=True))
    """
    least = 1 + (geometry.first_glance and not geometry.affine)
    if steps < least:
        after = ", one after the first glance" if geometry.first_glance else ""
        raise SettingsError(f"expected at least {least} glimpses{after}, found {steps}; set --glimpses")
    if geometry.affine and steps > 1 and not geometry.sides:  # nothing would tell how wide each is
        raise SettingsError(
            f"expected a --magnification above 1 with {steps} glimpses, found 1; change it, or take 1 glimpse"
        )


def geometry_for(dataset: DataSet, store: SequenceSource | None, wanted: Geometry | None) -> Geometry:
    """The geometry to train with; the store's must be the wanted one, where both are given."""
    if store is None or "geometry" not in store.settings:
        geometry = wanted or dataset.geometry
    else:
        geometry = store.geometry
        _require_size(geometry, dataset.geometry, store.name)
        if wanted is not None:
            store.require({"geometry": wanted.to_json()})
    geometry.grid()  # refuses a glimpse larger than the image
    return geometry


def _require_size(geometry: Geometry, images: Geometry, name: str) -> None:
    wanted, size = ((each.height, each.width, each.channels) for each in (images, geometry))
    if wanted != size:
        raise StoreError(
            f"expected sequences of images (height, width, channels) {wanted} in {name}, found those of "
            f"{size}; design for these images"
        )
