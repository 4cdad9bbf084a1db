"""The version of this software, from the metadata of its package."""

from importlib.metadata import PackageNotFoundError, version

PACKAGE = "boed-hardattn"


def installed_version() -> str:
    """As in the package's metadata; "unknown" where the source runs without being installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "unknown"


__version__ = installed_version()
SOFTWARE = f"{PACKAGE} {__version__}"
"""What files are marked with."""
