"""Names of the data sets that come with this project, and the modules that register them."""

from __future__ import annotations

_MNIST = "data.mnist"

BUILT_IN = {
    "digits": "data.digits",
    "mnist": _MNIST,
    "translated-mnist": _MNIST,
    "cluttered-mnist": _MNIST,
    "celebahq": "data.celebahq",
    "cub": "data.cub",
    "folder": "data.folder",
    "finite": "data.finite",
}
