"""Images in, glimpses out: data sets, the location grid and the sensor."""

from .dataset import SPLITS, DataSet, Split
from .errors import CheckpointError, DataError, GlimpseError, SettingsError, StoreError
from .geometry import Geometry
from .grid import LocationGrid
from .places import denormalise, normalise
from .pool import ImagePool
from .registry import DATASETS, load
from .retina import Retina, gather_patches

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
