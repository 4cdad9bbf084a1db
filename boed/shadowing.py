"""Whether the packages below this one are its own: `data` is a name that users have, too."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

BELOW = ("data", "supervision")
COMMANDS = ("boed", "hardattn")


def require_own_packages(beside: Path, alone: bool = False) -> None:
    """Sees to it that `import data` and `import supervision` take those of this project.

    A plain folder of that name, which Python takes for a namespace package, gives way, as it does to every
    package further on in the path; those of an editable install are not in the path.

    Args:
        beside: the folder that all packages of this project lie in.
        alone: whether nobody else's code runs in this process, so that no other can be meant.

    Raises:
        ImportError: in one line, where another module or package has the name.
    """
    for name in BELOW:
        own, spec = beside / name / "__init__.py", _spec_of(name)
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == own.resolve():
            continue
        plain = spec is not None and spec.origin is None
        if (plain or alone) and own.is_file() and not _in_use(name):
            _load(name, own)
        else:
            raise ImportError(
                f"expected the package {name} of boed-hardattn in {own.parent}, found {_place(spec)}, "
                f"which hides it; rename that file or folder, or start Python where there is no other {name}"
            )


def is_command_line() -> bool:
    """Whether this process is one of the command lines of this project."""
    return Path(sys.argv[0] if sys.argv else "").stem in COMMANDS


def _spec_of(name: str) -> ModuleSpec | None:
    """Of the module that `import NAME` takes, or has taken; None where there is none."""
    return sys.modules[name].__spec__ if name in sys.modules else find_spec(name)


def _in_use(name: str) -> bool:
    """Whether modules of a package have been imported, which would be lost with another in its place."""
    return any(module.startswith(f"{name}.") for module in sys.modules)


def _load(name: str, file: Path) -> None:
    """Imports the package of a file, whatever the path says."""
    spec = spec_from_file_location(name, file, submodule_search_locations=[str(file.parent)])
    if spec is None or spec.loader is None:
        raise ImportError(f"expected a Python package in {file.parent}, found none; install it again")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _place(spec: ModuleSpec | None) -> str:
    """The file of a module, or the first folder of a package without one."""
    if spec is None:
        return "none"
    return str(spec.origin or next(iter(spec.submodule_search_locations or ()), "none"))
