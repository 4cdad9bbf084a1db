"""Images in, glimpses out: data sets, the location grid and the sensor."""

from data.dataset import SPLITS, DataSet, Split
from data.errors import CheckpointError, DataError, GlimpseError, SettingsError, StoreError
from data.geometry import Geometry
from data.grid import LocationGrid, denormalise, normalise
from data.pool import ImagePool
from data.registry import DATASETS, load
from data.retina import Retina, gather_patches

__all__ = [
    "DATASETS",
    "SPLITS",
    "CheckpointError",
    "DataError",
    "DataSet",
    "Geometry",
    "GlimpseError",
    "ImagePool",
    "LocationGrid",
    "Retina",
    "SettingsError",
    "Split",
    "StoreError",
    "denormalise",
    "gather_patches",
    "load",
    "normalise",
]
