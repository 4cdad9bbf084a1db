"""Names of experiment trackers; nothing is imported for a name alone."""

from __future__ import annotations

from importlib.util import find_spec

from data.errors import SettingsError
from data.plugins import Registry
from data.tracking.tracker import RunTracker, Tracker

NONE = "none"
"""On the command line: no tracker."""
TRACKERS: Registry[type[RunTracker]] = Registry(
    "tracker",
    {
        "tensorboard": "data.tracking.tensorboard",
        "wandb": "data.tracking.wandb",
        "mlflow": "data.tracking.mlflow",
        "trackio": "data.tracking.trackio",
    },
)
"""Subclasses of `data.tracking.tracker.RunTracker`."""


def require_tracker(tracker: Tracker | str | None, kept: bool = True) -> None:
    """Raises SettingsError for a name of no tracker, or of one whose package is missing.

    Args:
        tracker: a name, an object of one's own, or None.
        kept: whether the run has a folder, which a tracker by name goes by.

    >>> require_tracker(None)
    """
    if not isinstance(tracker, str):
        return
    package = TRACKERS.require(tracker).package
    found = find_spec(package) if package else None
    if package and (found is None or found.origin is None):  # a folder of that name is no package
        raise SettingsError(
            f"expected the package {package} for the tracker {tracker}, found none; install it with "
            f"`pip install 'boed-hardattn[{tracker}]'`, or leave the tracker out"
        )
    if not kept:
        raise SettingsError(f"expected a folder for the tracker {tracker}, found none; name one")
