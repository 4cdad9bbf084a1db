"""Posteriors by name, untrained."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from boed.enumeration.exact import Enumeration
from boed.posteriors.avp_cnn import AvpCnnPosterior
from boed.posteriors.exact import ExactPosterior
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from boed.posteriors.posterior import Posterior
from data.dataset import DataSet
from data.errors import SettingsError
from data.finite import templates
from data.geometry import Geometry


def new_posterior(
    geometry: Geometry, dataset: DataSet, settings: dict[str, Any], places: Tensor
) -> Posterior:
    """A posterior of the kind and size that the settings name; the exact one needs no training.

    Args:
        geometry: sensor and grid.
        dataset: for its classes, and its templates where the posterior is exact.
        settings: those of a fit.
        places: (L, 3) codebook, for the exact posterior.
    """
    glimpses, classes = int(settings["glimpses"]), len(dataset.classes)
    attributes = len(dataset.attributes) or 1
    if settings["posterior"] == "exact":
        return ExactPosterior(enumeration(dataset, geometry, places), glimpses)
    if settings["posterior"] == "avp-cnn":
        return AvpCnnPosterior(
            geometry,
            classes,
            glimpses,
            resolution=min(settings["resolution"], geometry.height, geometry.width),
            width=max(4, settings["width"] // 6),
            backbone=settings["backbone"],
            pretrained=settings["pretrained"],
            attributes=attributes,
        )
    return GlimpseSetPosterior(geometry.glimpse_shape(), classes, glimpses, settings["width"], attributes)


def enumeration(dataset: DataSet, geometry: Geometry, places: Tensor) -> Enumeration:
    """All images of the data set at the places; raises SettingsError where they cannot be enumerated."""
    require_enumerable(dataset)
    return Enumeration(*templates(), geometry, places)


def require_enumerable(dataset: DataSet) -> None:
    """Raises SettingsError for a data set whose images cannot be enumerated."""
    if dataset.name != "finite":
        raise SettingsError(
            f"expected the data set finite for what is exact, found {dataset.name}; add --dataset finite"
        )
