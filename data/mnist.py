"""MNIST from the official IDX files: centred, translated, or translated among clutter.

Splits: test = the official 10,000; of the official 60,000 in file order, 2,000 are to annotate with
sequences (design), 5,000 validate and 53,000 train, by a fixed permutation. An image's id is its index in
the official file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.canvas import confined, digit_boxes, draws, place
from data.dataset import SPLITS, DataSet, Saliency, Split
from data.errors import DataError, SettingsError
from data.geometry import Geometry
from data.layouts import MNIST as LAYOUT
from data.placing import Placing
from data.store import ImageStore, cached_store
from data.unpacking import DAMAGE, unpacked

FOLDERS = ("MNIST/raw", "raw", ".")
SIDE = 28
LARGEST = 1 << 29  # bytes of a file, unpacked; the official one has 47 million
Official = Callable[[str], tuple[np.ndarray, np.ndarray]]  # "train" or "t10k" -> images, labels


@dataclass(frozen=True)
class Variant:
    """How the digits are shown: on a canvas or not, glimpse side, glimpses T, pieces of clutter."""

    on_canvas: bool
    glimpse_size: int
    stride: int
    glimpses: int
    pieces: int = 0


VARIANTS = {
    "mnist": Variant(False, glimpse_size=8, stride=2, glimpses=6),
    "translated-mnist": Variant(True, glimpse_size=12, stride=4, glimpses=6),
    "cluttered-mnist": Variant(True, glimpse_size=12, stride=4, glimpses=8, pieces=4),
}
PIECE_SIZE = 8


def load_mnist(
    root: Path,
    variant: str = "mnist",
    canvas: int = 60,
    seed: int = 0,
    region: str = "all",
    placements: int = 1,
    canvas_seed: int = 0,
) -> DataSet:
    """MNIST as "mnist" (28 x 28), "translated-mnist" or "cluttered-mnist" (canvas x canvas).

    Args:
        root: folder with the IDX files, packed or not, in it, in raw/ or in MNIST/raw/.
        variant: a key of `VARIANTS`.
        canvas: side of the canvas in pixels; "mnist" has none.
        seed: of places and clutter; each canvas depends on the seed, its split and its id only.
        region: where on the canvas digits may lie, one of `data.canvas.REGIONS`; "mnist" has none.
        placements: of each training digit, each at a place and among clutter of its own; "mnist" has one.
        canvas_seed: other than 0: of other places and clutter in design and test, see `data.placing`.

    Raises:
        DataError: no folder or no IDX file in it; on opening a split, its files are missing or damaged.
        SettingsError: unknown variant or region, a canvas too small for the digits or the region, less than
            one placement, or an impossible canvas_seed.
    """
    if variant not in VARIANTS:
        raise SettingsError(f"expected a variant of {', '.join(VARIANTS)}; found {variant!r}")
    shown = VARIANTS[variant]
    side = canvas if shown.on_canvas else SIDE
    if side < SIDE:
        raise SettingsError(
            f"expected a canvas of at least {SIDE} pixels, found {canvas}; choose a larger one"
        )
    if placements < 1 or (placements > 1 and not shown.on_canvas):
        raise SettingsError(
            f"expected 1 placement of each training digit, more only on a canvas; found {placements} of "
            f"{variant}; choose another number"
        )
    confined(np.zeros((0, 2)), side - SIDE + 1, region)  # refuses a region that there is not
    _require_any_file(root)
    per_axis = (side - shown.glimpse_size) // shown.stride + 1
    geometry = Geometry(side, side, 1, glimpse_size=shown.glimpse_size, per_axis=per_axis)
    official = cache(partial(_read_official, root))
    placing = Placing(seed, canvas_seed)
    shape = (variant, side, placing, region)
    openers = {
        split: partial(_open_split, official, split, *shape, placements if split == "train" else 1)
        for split in SPLITS
    }
    saliency = partial(_saliency, official, *shape, placements)
    target = ("label", tuple("0123456789"))
    return DataSet(variant, *target, geometry, shown.glimpses, openers, saliency=saliency)


@dataclass(frozen=True)
class _Placed:
    """What the N images of a split are made of.

    Attributes:
        digits: (M, 28, 28) uint8.
        labels: (M,).
        count: how many digits their official file has.
        own: (N,) which digit each image shows.
        ids: (N,) of the images.
        drawn: (N, 2 + 5 P) see `data.canvas.place`; without a canvas P is 0.
    """

    digits: np.ndarray
    labels: np.ndarray
    count: int
    own: np.ndarray
    ids: np.ndarray
    drawn: np.ndarray


def _placed(
    official: Official, split: str, variant: str, side: int, placing: Placing, region: str, placements: int
) -> _Placed:
    digits, labels = official("t10k" if split == "test" else "train")
    count, ids = len(digits), _ids(split, len(digits))
    digits, labels = np.ascontiguousarray(digits[ids]), labels[ids]
    own = np.tile(np.arange(len(ids)), placements)
    ids = np.concatenate([ids + count * copy for copy in range(placements)])
    generator = placing.generator(split)
    drawn = draws(int(ids.max(initial=-1)) + 1, VARIANTS[variant].pieces, generator=generator)[ids]
    drawn[:, :2] = confined(drawn[:, :2], side - SIDE + 1, region)
    return _Placed(digits, labels, count, own, ids, drawn)


def _saliency(
    official: Official, variant: str, side: int, placing: Placing, region: str, placements: int, split: str
) -> Saliency:
    """Of rows of a split: their digits at their places, without clutter, see `data.dataset.DataSet`."""
    copies = placements if split == "train" else 1
    made = _placed(official, split, variant, side, placing, region, copies)

    def digits_alone(rows: Tensor) -> Tensor:
        some = rows.cpu().numpy()
        alone = place(made.digits, made.own[some], made.drawn[some, :2], side, PIECE_SIZE)
        return torch.from_numpy(alone)

    return digits_alone


def _open_split(
    official: Official, split: str, variant: str, side: int, placing: Placing, region: str, placements: int
) -> Split:
    """Image id = number of the digit in its official file + their number * number of its placement."""
    made = _placed(official, split, variant, side, placing, region, placements)
    digits, labels, count, own, ids = made.digits, made.labels, made.count, made.own, made.ids
    if not VARIANTS[variant].on_canvas:
        return Split.of(ImageStore.from_arrays(digits[..., None], labels, ids))
    drawn = made.drawn

    def canvases(rows: range) -> np.ndarray:
        some = np.asarray(rows)
        return place(digits, own[some], drawn[some], side, PIECE_SIZE)[..., None]

    content = hashlib.sha256(digits.tobytes() + labels.tobytes()).hexdigest()
    key = [1, variant, side, placing.seed, split, content, *([] if region == "all" else [region])]
    key += [placements] if placements > 1 else []  # what was cached before there were several stays valid
    key += [f"canvas seed {number}" for number in placing.beside_seed(split)]
    store = cached_store(key, (side, side, 1), ids, labels[own], canvases, title=f"place {split}")
    boxes = torch.from_numpy(digit_boxes(drawn, side, SIDE))
    return replace(Split.of(store), groups=store.ids % count if placements > 1 else None, boxes=boxes)


def _ids(split: str, count: int) -> np.ndarray:
    """Indices in the official file, increasing; a thirtieth is design, a twelfth valid, the rest train."""
    if split == "test":
        return np.arange(count)
    order = np.random.default_rng(0).permutation(count)
    bounds = np.cumsum([count // 30, count // 12])
    return np.sort(np.split(order, bounds)[("design", "valid", "train").index(split)])


def _read_official(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,) uint8 of "train" or "t10k"."""
    paths = [_find(root, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")]
    images, labels = (read_idx(path) for path in paths)
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(
            f"expected images of {SIDE} x {SIDE}, found {images.shape} in {paths[0]}; fetch it again"
        )
    if labels.shape != images.shape[:1] or labels.max(initial=0) > 9:
        raise DataError(
            f"expected {len(images)} labels of 0 to 9, found {labels.size} up to {labels.max(initial=0)} "
            f"in {paths[1]}; fetch the file again"
        )
    return images, labels


def _find(root: Path, name: str) -> Path:
    places = [root / folder / (name + suffix) for folder in FOLDERS for suffix in (".gz", "")]
    for path in places:
        if path.is_file():
            return path
    raise DataError(
        f"expected the file {places[0]}, found none; put it there or set --data-root to its folder"
    )


def _require_any_file(root: Path) -> None:
    if not root.is_dir():
        raise DataError(f"expected a folder with {LAYOUT}, found no folder {root}; set --data-root")
    if not any(any((root / folder).glob("*-ubyte*")) for folder in FOLDERS):
        raise DataError(f"expected {LAYOUT} in {root}, found none of them; set --data-root")


def read_idx(path: Path) -> np.ndarray:
    """The array of unsigned bytes in an IDX file, gzipped (.gz) or not.

    Raises:
        DataError: bad gzip, no IDX file of bytes, or another length than its header says.
    """
    try:
        content = unpacked(path, LARGEST) if path.suffix == ".gz" else path.read_bytes()
    except (*DAMAGE, ValueError) as error:
        raise DataError(
            f"expected a whole gzip file, found {path} damaged ({error}); fetch it again"
        ) from None
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    if axes == 0 or len(content) < 4 + 4 * axes:
        raise DataError(
            f"expected an IDX file of bytes (it starts 00 00 08), found {path} with "
            f"{content[:4].hex(' ') or 'nothing'}; fetch it again"
        )
    shape = [int(n) for n in np.frombuffer(content, ">u4", axes, 4)]
    size = len(content) - 4 - 4 * axes
    if size != math.prod(shape):
        raise DataError(
            f"expected {math.prod(shape)} bytes after the header of {path}, found {size}; fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
