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
    try:
        return import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # RuntimeError: one that was made for another torch
        raise SettingsError(
            f"expected torchvision for {wanted}, found: {error}; pip install 'boed-hardattn[vision]'"
        ) from error
