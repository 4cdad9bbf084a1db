"""Whether the packages below this one are its own: `data` is a name that users have, too."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

BELOW = ("data", "supervision")


def require_own_packages(beside: Path) -> None:
    """Raises ImportError, in one line, where another module has the name of a package that belongs to this.

    Args:
        beside: the folder that all packages of this project lie in.
    """
    for name in BELOW:
        found = _place_of(name)
        if found is None or found.resolve() != (beside / name / "__init__.py").resolve():
            raise ImportError(
                f"expected the package {name} of boed-hardattn in {beside / name}, found {found or 'none'}, "
                f"which hides it; rename that file or folder, or start Python where there is no other {name}"
            )


def _place_of(name: str) -> Path | None:
    """The file that `import NAME` takes, or has taken; None where there is none."""
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
        return Path(file) if file else _folder(getattr(sys.modules[name], "__path__", ()))
    spec = find_spec(name)
    if spec is None:
        return None
    return Path(spec.origin) if spec.origin else _folder(spec.submodule_search_locations or ())


def _folder(places: object) -> Path | None:
    """The first folder of a package without a file."""
    return next((Path(str(place)) for place in places), None) if hasattr(places, "__iter__") else None
