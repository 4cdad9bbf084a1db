"""The data sets of this project, as `data.registry.DATASETS` has them; imported when one is opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from data import celebahq, cub, folder, mnist
from data.dataset import DataSet
from data.digits import load_digits
from data.finite import load_finite
from data.registry import DATASETS, Entry

ON_CANVAS = ("canvas", "seed", "region", "placements")


def _mnist(variant: str) -> Callable[..., DataSet]:
    return partial(mnist.load_mnist, variant=variant)


_ENTRIES = {
    "digits": Entry(load_digits, "1,797 small digits among clutter, 40 x 40, built in", options=("seed",)),
    "mnist": Entry(_mnist("mnist"), "MNIST, 28 x 28", mnist.LAYOUT),
    "translated-mnist": Entry(
        _mnist("translated-mnist"), "MNIST anywhere on a canvas", mnist.LAYOUT, ON_CANVAS
    ),
    "cluttered-mnist": Entry(_mnist("cluttered-mnist"), "the same among clutter", mnist.LAYOUT, ON_CANVAS),
    "celebahq": Entry(
        celebahq.load_celebahq, "an attribute of faces, 224 x 224", celebahq.LAYOUT, ("attribute",)
    ),
    "cub": Entry(cub.load_cub, "birds with boxes and named parts, 128 x 128", cub.LAYOUT),
    "folder": Entry(folder.load_folder, "photographs in class folders, 128 x 128", folder.LAYOUT),
    "finite": Entry(load_finite, "draws from 5,760 known images, 32 x 32, built in", options=("seed",)),
}
for _name, _entry in _ENTRIES.items():
    DATASETS.register(_name)(_entry)
