"""The data-set contract: a name gives four splits of uint8 images and labels."""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from data.arrays import (
    checked_images,
    checked_labels,
    class_names,
    default_geometry,
    drawn_splits,
    own_name,
    whole_number,
)
from data.errors import NoImagesError, one_line
from data.geometry import Geometry
from data.stages import stage
from data.store import ImageStore

SPLITS = ("design", "train", "valid", "test")
Saliency = Callable[[Tensor], Tensor]
"""Rows (M,) of a split -> what is salient in these images, (M, H, W) uint8."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images of one split; two of them are equal where they are the same object.

    Attributes:
        images: (N, H, W, C) uint8.
        labels: (N,) int64, or (N, A) of A attributes together.
        ids: (N,) int64, increasing.
        fingerprint: hash of ids, labels and bytes.
        groups: (N,) int64; images made from the same original share a group, so that a partition of the
            split can keep them together. None: every image is its own group.
        boxes: (N, 4) int64 where the object is, in pixels: first row and column, and those after the last.
            None: not known.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor
    fingerprint: str
    groups: Tensor | None = None
    boxes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.images.shape[1:]))
        return f"<Split of {len(self)} images {shape} on {self.images.device}>"

    @property
    def originals(self) -> Tensor:
        """(N,) int64 on the CPU: of which original each image is a version, its group or itself."""
        return (self.ids if self.groups is None else self.groups).cpu()

    @classmethod
    def of(cls, store: ImageStore, column: int | Sequence[int] = 0) -> Split:
        """The split whose labels are one column of the store's, or several."""
        return cls(store.images, store.labels[:, column].contiguous(), store.ids, store.fingerprint)

    def to(self, device: torch.device | str) -> Split:
        """The same split with images, labels and ids on `device`."""
        if torch.device(device) == self.images.device:
            return self
        boxes = None if self.boxes is None else self.boxes.to(device)
        return replace(
            self,
            images=self.images.to(device),
            labels=self.labels.to(device),
            ids=self.ids.to(device),
            boxes=boxes,
        )

    def take(self, rows: Tensor) -> Split:
        """These rows as a split of their own, copied into memory."""
        groups = None if self.groups is None else self.groups[rows.to(self.groups.device)]
        rows = rows.to(self.images.device)
        boxes = None if self.boxes is None else self.boxes[rows]
        return Split(self.images[rows], self.labels[rows], self.ids[rows], self.fingerprint, groups, boxes)


def split_in_memory(images: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> Split:
    """The split of images (N, H, W, C) uint8 with labels (N,) and ids (N,), increasing."""
    return Split.of(ImageStore.from_arrays(images, labels, ids))


@dataclass(frozen=True)
class NamedParts:
    """Where the P named parts of the object are in the N images of a split.

    Attributes:
        names: of the parts.
        places: (N, P, 2) row and column in pixels, in the order of the ids; NaN where a part is hidden or
            outside of the image.
        order: names in the order in which to look at them, unless another is asked for.
    """

    names: tuple[str, ...]
    places: Tensor
    order: tuple[str, ...]


class DataSet:
    """A classification task on images, with the geometry that suits it.

    Splits are opened when first asked for, so that a folder with test images only can be evaluated.
    `dataset["test"]` opens one; `"test" in dataset` and `for split in dataset` are of their names.

    Args:
        name: as on the command line, or another where images of the same name are shown in another way.
        target: what is predicted, for example an attribute; "label" where there is just one.
        classes: names of the K classes.
        geometry: default glimpse, grid and image size.
        glimpses: default number of glimpses T.
        openers: split name -> function that opens it.
        note: one line for the user (what was left out, which default was taken), or "".
        symmetric: whether a mirrored image is as likely as the image, and of the same class.
        aligned: whether the same part is at the same place in all images, as in registered faces.
        attributes: names and classes of the A attributes that labels (N, A) tell together; each has as many
            classes. Empty where there is one target.
        parts: split name -> the annotated parts of its images. None: not known.
        saliency: split name -> function of rows (M,) int64 that gives their saliency (M, H, W) uint8, the
            brightness of the object's own pixels. None: not known.
        files: split name -> path of each image from the folder of the images. None: they are not in files.

    Attributes:
        origin: what `data.registry.load` was called with; None: not opened by it.
    """

    def __init__(
        self,
        name: str,
        target: str,
        classes: tuple[str, ...],
        geometry: Geometry,
        glimpses: int,
        openers: Mapping[str, Callable[[], Split]],
        note: str = "",
        *,
        symmetric: bool = False,
        aligned: bool = False,
        attributes: Mapping[str, tuple[str, ...]] | None = None,
        parts: Callable[[str], NamedParts] | None = None,
        saliency: Callable[[str], Saliency] | None = None,
        files: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self.name, self.target, self.classes = name, target, classes
        self.geometry, self.glimpses, self.note = geometry, glimpses, note
        self.symmetric, self.aligned, self.parts = symmetric, aligned, parts
        self.saliency, self.files = saliency, files
        self.attributes = dict(attributes or {})
        self.origin: dict[str, Any] | None = None
        self._openers = dict(openers)
        self._splits: dict[str, Split] = {}

    @classmethod
    def from_arrays(
        cls,
        images: ArrayLike,
        labels: ArrayLike,
        *,
        classes: Iterable[object] | None = None,
        name: str = "arrays",
        valid: float = 0.1,
        test: float = 0.2,
        design: float = 0.15,
        seed: int = 0,
        glimpse_size: int | None = None,
        glimpses: int = 5,
        aligned: bool = False,
        symmetric: bool = False,
    ) -> DataSet:
        """A task from one's own images, parted into the four splits by a seeded draw.

        An image's id is its row. The arrays are copied. Images that belong together, such as several of one
        person, may come into different splits: then open the splits yourself, with `groups`.

        Args:
            images: (N, H, W) or (N, H, W, C) uint8.
            labels: (N,) integers 0 to K - 1.
            classes: names of the K classes, each another; default their numbers.
            name: of the task; not one of the data sets that `data.load` has here.
            valid, test, design: shares of the images, in [0, 1), or numbers of them, whole and of type int;
                the others are for training.
            seed: of the draw, from 0 on.
            glimpse_size: side of a glimpse in pixels; default a fifth of the images', up to 16.
            glimpses: T.
            aligned: whether the same part is at the same place in all images.
            symmetric: whether a mirrored image is as likely as the image, and of the same class.

        Raises:
            DataError: images or labels of another type or shape, labels that are not 0 to K - 1, classes of
                the same name, or too few images for a split.
            SettingsError: a glimpse larger than the images, the name of another data set, or a number that
                is not of the kind above.

        >>> images = np.random.default_rng(0).integers(0, 256, (60, 20, 20), dtype=np.uint8)
        >>> dataset = DataSet.from_arrays(images, np.arange(60) % 3)
        >>> {split: len(dataset[split]) for split in SPLITS}, dataset.geometry.glimpse_size
        ({'design': 9, 'train': 33, 'valid': 6, 'test': 12}, 4)
        """
        pixels = checked_images(images)
        names = class_names(classes)
        numbers = checked_labels(labels, len(pixels), names)
        rows = drawn_splits(len(pixels), {"design": design, "valid": valid, "test": test}, seed)

        openers = {
            split: partial(split_in_memory, pixels[rows[split]], numbers[rows[split]], rows[split])
            for split in SPLITS
        }
        geometry = default_geometry(pixels.shape, glimpse_size)
        geometry.grid()
        return cls(
            own_name(name),
            "label",
            names or tuple(map(str, np.unique(numbers))),
            geometry,
            whole_number(glimpses, "glimpses", 1),
            openers,
            aligned=aligned,
            symmetric=symmetric,
        )

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{split} ({len(self._splits[split])})" if split in self._splits else split for split in self
        )
        geometry = self.geometry
        return (
            f"<DataSet {self.name}, {self.target}: {len(self.classes)} classes {reprlib.repr(self.classes)}, "
            f"images {geometry.height} x {geometry.width} x {geometry.channels}, {self.glimpses} glimpses of "
            f"{geometry.glimpse_size} pixels, splits {counts}>"
        )

    def __getstate__(self) -> dict[str, Any]:
        """All but the opened splits, whose images may be mapped from a file; a copy opens its own."""
        return self.__dict__ | {"_splits": {}}

    def __iter__(self) -> Iterator[str]:
        """The names of the splits."""
        return iter(self._openers)

    def __contains__(self, split: object) -> bool:
        return split in self._openers

    def __getitem__(self, split: str) -> Split:
        if split not in self:
            raise NoImagesError(
                f"expected a split of {self.name}: {', '.join(self)}; found {one_line(split)}, choose one"
            )
        if split not in self._splits:
            with stage("images"):
                opened = self._openers[split]()
            if len(opened) == 0:
                raise NoImagesError(
                    f"expected images in the {split} split of {self.name}, found none; "
                    "point --data-root at a folder that has them"
                )
            self._splits[split] = opened
        return self._splits[split]

    def only(self, attribute: str) -> DataSet:
        """The task of one of the attributes, on the same images."""
        column = list(self.attributes).index(attribute)
        one = DataSet(
            self.name,
            attribute,
            self.attributes[attribute],
            self.geometry,
            self.glimpses,
            {split: partial(self._with_column, split, column) for split in self},
            self.note,
            symmetric=self.symmetric,
            aligned=self.aligned,
            parts=self.parts,
            saliency=self.saliency,
            files=self.files,
        )
        one.origin = self.origin and self.origin | {"attribute": attribute}
        return one

    def _with_column(self, split: str, column: int) -> Split:
        """The split with the labels of one attribute."""
        return replace(self[split], labels=self[split].labels[:, column].contiguous())

    def fingerprint(self, *splits: str) -> str:
        """One hash for the named splits (all four without a name)."""
        parts = [self[split].fingerprint for split in (splits or SPLITS)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()
