"""Images in, glimpses out: data sets, the location grid and the sensor.

What the package offers is in `__init__.pyi`; each name is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
