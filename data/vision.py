"""The optional extra with networks for photographs: torchvision, imported where it is asked for."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from data.errors import SettingsError


def torchvision_models(wanted: str) -> ModuleType:
    """`torchvision.models`.

    Args:
        wanted: what needs it, for the message.

    Raises:
        SettingsError: it is not installed, or made for another torch.
    """
    return _part("models", wanted)


def torchvision_transforms(wanted: str) -> ModuleType:
    """`torchvision.transforms.v2.functional`, as `torchvision_models`."""
    return _part("transforms.v2.functional", wanted)


def _part(name: str, wanted: str) -> ModuleType:
    try:
        return import_module(f"torchvision.{name}")
    except (ImportError, RuntimeError) as error:  # RuntimeError: one that was made for another torch
        raise SettingsError(
            f"expected torchvision for {wanted}, found: {error}; pip install 'boed-hardattn[vision]'"
        ) from error
