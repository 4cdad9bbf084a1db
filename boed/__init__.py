"""Bayesian experimental design of glimpse sequences: fits the approximations of a task, designs with them.

What the package offers is in `__init__.pyi`; each name is imported when it is first used.
"""

from pathlib import Path

import lazy_loader

from boed.shadowing import is_command_line, require_own_packages

require_own_packages(Path(__file__).parents[1], alone=is_command_line())

from data.version import __version__ as __version__  # noqa: E402  (after it is known whose data this is)

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*_names, "__version__"]
