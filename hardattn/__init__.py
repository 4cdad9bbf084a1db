"""Hard-attention networks: train, evaluate, predict, load.

What the package offers is in `__init__.pyi`; each name is imported when it is first used.
"""

import lazy_loader

import boed  # noqa: F401  (says so where `data` is somebody else's)
from data.version import __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
