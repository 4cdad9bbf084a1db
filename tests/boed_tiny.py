"""Two made-up worlds for the tests of boed: one that can be enumerated, one in which it pays to adapt."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.combination import Combination
from boed.comparison.compare import Source
from boed.completions.retrieval import RetrievalCompletion
from boed.posteriors.posterior import Posterior
from boed.settings import FittedSettings
from data.dataset import DataSet, Split
from data.geometry import Geometry
from data.places import places_at
from data.store import ImageStore
from supervision.store import TIMES

GEOMETRY = Geometry(12, 12, 1, glimpse_size=4, per_axis=3)  # nine places that do not overlap
PLACES = GEOMETRY.grid().locations
SMALL = Geometry(8, 8, 1, glimpse_size=3)


def some_of(images: int) -> Tensor:
    """(B, 9) which places are wanted of each image: three, none, all, and then none again."""
    wanted = torch.zeros(images, len(PLACES), dtype=torch.bool)
    wanted[0, [8, 0, 3]] = True
    wanted[2] = True
    return wanted


def split_of(cells: np.ndarray, labels: np.ndarray, noise: int = 0, seed: int = 0) -> Split:
    """Images whose nine 4 x 4 cells have the grey levels `cells` (N, 9), with uniform noise."""
    pixels = cells.reshape(-1, 3, 3).repeat(4, axis=1).repeat(4, axis=2).astype(int)
    pixels = pixels + np.random.default_rng(seed).integers(-noise, noise + 1, pixels.shape)
    images = pixels.clip(0, 255).astype(np.uint8)[..., None]
    return Split.of(ImageStore.from_arrays(images, labels[:, None], np.arange(len(labels)) * 3 + 1))


class Enumerated:
    """Equally likely images of nine cells with known labels: every probability is a count."""

    def __init__(self, count: int = 24, classes: int = 3, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.cells = random.choice([0, 100, 200], (count, 9), p=[0.5, 0.3, 0.2])
        self.cells[:, 4] = 50  # one place shows the same in all images
        self.labels = random.integers(0, classes, count)
        self.classes = classes
        self.split = split_of(self.cells, self.labels)

    def consistent(self, image: int, places: list[int]) -> list[int]:
        """The images that look like `image` at the places."""
        return np.flatnonzero((self.cells[:, places] == self.cells[image, places]).all(1)).tolist()

    def posterior(self, image: int, places: list[int]) -> list[float]:
        """p(label | the image's glimpses)."""
        found = self.consistent(image, places)
        return (np.bincount(self.labels[found], minlength=self.classes) / len(found)).tolist()

    def entropy(self, image: int, places: list[int]) -> float:
        return -sum(p * math.log(p) for p in self.posterior(image, places) if p > 0)

    def epe(self, image: int, places: list[int]) -> list[float]:
        """Expected posterior entropy of each place after the image's glimpses, by the definition."""
        found = self.consistent(image, places)
        return [
            sum(self.entropy(n, [*places, place]) for n in found) / len(found) for place in range(9)
        ]  # y at `place` has probability (number of images that show it) / len(found)


class ExactPosterior(Posterior):
    """The enumerated posterior as if it were a network: an embedding is the log-likelihood of every image."""

    known: Tensor
    centres: Tensor
    groups: Tensor

    def __init__(self, world: Enumerated, steps: int = 9) -> None:
        super().__init__(steps)
        rows = torch.arange(len(world.labels))
        known = GEOMETRY.retina()(world.split.images, rows, PLACES.expand(len(rows), -1, -1)).flatten(2)
        self.register_buffer("known", known)  # (N, L, G*G)
        self.register_buffer("centres", GEOMETRY.centres(PLACES))
        member = torch.from_numpy(world.labels)[:, None] == torch.arange(world.classes)
        self.register_buffer("groups", torch.zeros(member.shape).masked_fill(~member, -torch.inf))

    def embed(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        place = (centres[..., None, :] - self.centres).abs().sum(-1).argmin(-1)
        error = (glimpses.flatten(-3)[..., None, :] - self.known[:, place].movedim(0, -2)).abs().amax(-1)
        return -1e4 * (error > 1e-3).to(glimpses.dtype)

    def logits(self, total: Tensor, count: int | Tensor) -> Tensor:
        return (total[..., None] + self.groups).logsumexp(-2)


def exact_approximations(
    world: Enumerated, steps: int = 3, combination: Combination | None = None
) -> Approximations:
    """Exact q; and r, at the smallest effective sample size, is uniform over the consistent images.

    The bank is all images that there are, not a sample of the split: an image may complete itself.
    """
    bank = replace(world.split, fingerprint="all images")
    return Approximations(
        ExactPosterior(world),
        bank,
        PLACES,
        GEOMETRY,
        FittedSettings(glimpses=steps),
        combination or Combination(),
        weights=(1.0,) * steps,
        retrieval=RetrievalCompletion(bank, GEOMETRY.retina(), 1.0),
    )


POINTER, FINE = 4, (0, 8)


def pointer_split(count: int, seed: int) -> Split:
    """Labels 0 to 3. The middle cell tells 0, 1 from 2, 3 and thereby where the rest of the label is:
    in the first cell for 0 and 1, in the last for 2 and 3. The other one of these cells misleads."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 4)
    coarse, fine = labels // 2, labels % 2
    cells = random.integers(0, 256, (count, 9))
    cells[:, POINTER] = 40 + 170 * coarse
    for group, place in enumerate(FINE):
        cells[:, place] = 40 + 170 * np.where(coarse == group, fine, random.integers(0, 2, count))
    return split_of(cells, labels, noise=15, seed=seed)


def pointer_dataset(name: str = "pointer", target: str = "label", train: int = 600, seed: int = 0) -> DataSet:
    counts = {"design": 50, "train": train, "valid": 20, "test": 20}
    openers = {
        split: (lambda n=n, s=s: pointer_split(n, 10 * seed + s))
        for s, (split, n) in enumerate(counts.items())
    }
    return DataSet(name, target, tuple("abcd"), GEOMETRY, 3, openers)


CLASSES = {"coarse": ("low", "high"), "fine": ("even", "odd")}


def two_labels(split: Split) -> Split:
    """Labels (N, 2): those of `both`."""
    return replace(split, labels=torch.stack([split.labels // 2, split.labels % 2], 1))


def both(train: int = 100) -> DataSet:
    """The pointer's two labels together: which half, and which of its two."""
    one = pointer_dataset(train=train)
    openers = {split: partial(lambda split: two_labels(one[split]), split) for split in one._openers}
    names = ("absent", "present")
    return DataSet("pointer", "coarse,fine", names, one.geometry, 3, openers, attributes=CLASSES)


def source(name: str, kind: str, seed: int = 0, ids: Tensor | None = None, steps: int = 3) -> Source:
    """Random sequences for the design images of `pointer_dataset`, or for those with the ids."""
    generator = torch.Generator().manual_seed(seed)
    ids = pointer_dataset()["design"].ids if ids is None else ids
    cells = torch.rand(len(ids), 9, generator=generator).argsort(1)[:, :steps]
    return Source(name, kind, ids, PLACES[cells])


def random_images(count: int, geometry: Geometry = SMALL, seed: int = 0) -> Split:
    """Images of noise."""
    random = np.random.default_rng(seed)
    shape = (count, geometry.height, geometry.width, geometry.channels)
    images = torch.from_numpy(random.integers(0, 256, shape, dtype=np.uint8))
    return Split(images, torch.zeros(count).long(), torch.arange(count), "")


def look(split: Split, corners: Tensor, geometry: Geometry = SMALL) -> tuple[Tensor, Tensor]:
    """Glimpses of all images at the same corners (t, 2), and their places for each image."""
    places = places_at(corners, geometry.glimpse_size).expand(len(split), -1, -1)
    return geometry.retina()(split.images, torch.arange(len(split)), places), places


def timeless(path: Path) -> bytes:
    """The bytes of a store without how long it took, which are eight bytes for each of three attributes."""
    with TemporaryDirectory() as folder:
        copied = shutil.copy(path, folder)
        with h5py.File(copied, "r+") as file:
            for name in TIMES:
                file.attrs.modify(name, np.float64(0))
        return Path(copied).read_bytes()
