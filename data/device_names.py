"""Names of devices, for which nothing that computes is imported."""

from data.errors import SettingsError

DEVICES = ("auto", "cpu", "cuda")


def require_device_name(name: str) -> None:
    """Raises SettingsError for a name that no machine has; whether this one has it is asked later."""
    if name not in DEVICES:
        raise SettingsError(f"expected device auto, cpu or cuda; found {name!r}")
