"""`boed generate`: sequences for the images of a split, written block by block into a store."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.engines.engine import Engine
from boed.engines.registry import resolved
from boed.search.designer import Designer
from boed.search.diagnostics import REPORTED, coarse_agreement, sample_sizes
from boed.search.registry import SOURCES, WITH_MAPS
from data.dataset import DataSet, Split
from data.device import one_thread
from data.errors import SettingsError
from data.geometry import Geometry
from data.kinds import require_split
from data.measures import read_pixels, read_values
from data.progress import progress_bar
from data.sample import sample_rows
from data.sequences import Sequences
from data.stages import stage

BLOCK = 60


class Sink(Protocol):
    """Where sequences go: `supervision.store.SequenceStore`, or anything that keeps rows."""

    ids: Tensor

    def pending(self) -> Tensor:
        """Rows that are not done."""

    def write(self, rows: Tensor, sequences: Any) -> None:
        """Keeps the sequences of these rows."""


def generate(
    designer: Designer,
    split: Split,
    sink: Sink,
    *,
    glimpses: int,
    source: str = "design",
    seed: int = 0,
    ids: Tensor | None = None,
    engine: Engine | str = "local",
) -> None:
    """Sequences for every pending row of the sink; a row's sequence depends on its image and `seed` alone.

    Args:
        designer: approximations from `boed.fitting.fit.fit`, and how to search.
        split: holds the images of the sink's ids.
        glimpses: T.
        source: a key of `boed.search.registry.SOURCES`.
        ids: only these images, where the sink has more.
        engine: where it is done, in blocks of `BLOCK` images; the designer goes to each worker once.

    Raises:
        SettingsError: unknown source, more glimpses than the posterior was fitted for, or a GPU for workers
            in other processes.
        WorkerError: these are lost again and again, or cannot be reached.
    """
    if source not in SOURCES:
        raise SettingsError(f"expected a source of {', '.join(SOURCES)}; found {source!r}")
    require_glimpses(glimpses, designer.learned)
    spread = resolved(engine)
    _require_device(spread, designer.learned)
    where = torch.searchsorted(split.ids.cpu(), sink.ids)
    asked = sink.ids if ids is None else ids
    pending = sink.pending()
    pending = pending[torch.isin(sink.ids[pending], asked)]
    blocks = pending.split(BLOCK) if len(pending) else ()
    made = spread(BlockDesign(designer, source, glimpses, seed), (split.take(where[rows]) for rows in blocks))
    done = len(asked) - len(pending)
    with (
        one_thread(),
        closing(made),
        progress_bar(total=len(asked), initial=done, desc=source, unit="image") as bar,
    ):
        for number, sequences in made:
            with stage("store"):
                sink.write(blocks[number], sequences)
            bar.update(len(blocks[number]))


@dataclass(frozen=True)
class BlockDesign:
    """The work of one block: sequences for all its images, on one thread.

    Args:
        designer, source, glimpses, seed: see `generate`.
    """

    designer: Designer
    source: str
    glimpses: int
    seed: int

    def __call__(self, images: Split) -> Sequences:
        rows = torch.arange(len(images), device=images.images.device)
        with one_thread():
            return SOURCES[self.source](self.designer, images, rows, self.glimpses, self.seed).cpu()


def _require_device(engine: Engine, learned: Approximations) -> None:
    device = learned.places.device
    if not engine.here and device.type != "cpu":
        raise SettingsError(
            f"expected --device cpu for designs by several workers, found {device}; add it, or leave out "
            "--workers and --engine"
        )


@stage("description")
def describe(designer: Designer, split: Split, ids: Tensor, locations: Tensor, *, seed: int) -> list[str]:
    """Lines about a search, on a few of its images: effective sample sizes, and what coarse candidates miss.

    Args:
        split: holds the images.
        ids, locations: (N,) images and their sequences (N, T, 3), made by `designer` with `seed`.
    """
    some = sample_rows(len(ids), min(REPORTED, len(ids)))
    rows = torch.searchsorted(split.ids.cpu(), ids[some]).to(split.images.device)
    chosen, lines = locations[some].to(split.images.device), []
    sizes = sample_sizes(designer, split, rows, chosen, seed=seed)
    if sizes:
        sizes_reached = ", ".join(f"{size:.0f} ({target:g})" for size, target in sizes)
        what = "effective sample size of the completions after each glimpse (target of retrieval alone)"
        lines.append(f"{what}: {sizes_reached}")
    if designer.coarse:
        share = coarse_agreement(designer, split, rows, chosen, seed=seed)
        lines.append(f"coarse-to-fine found the minimum of all places in {100 * share:.1f} % of the steps")
    return lines


def describe_reading(locations: Tensor, geometry: Geometry) -> list[str]:
    """Lines about squares of several sides (N, T, 3): how wide they are, and what is read of the image.

    >>> geometry = Geometry(12, 12, 1, glimpse_size=4, sides=(4, 6, 12))
    >>> for line in describe_reading(torch.tensor([[[0, 0, 12], [2, 0, 6]]]), geometry):
    ...     print(line)
    mean side of the square at each glimpse: 12, 6
    pixels read after each glimpse, averaged down in software: 144, 180; by a sensor that bins: 16, 32
    """
    sides = ", ".join(f"{side:.3g}" for side in locations[..., 2].double().mean(0).tolist())
    pixels = ", ".join(f"{count:.0f}" for count in read_pixels(locations, geometry))
    values = ", ".join(map(str, read_values(locations.shape[1], geometry)))
    read = f"averaged down in software: {pixels}; by a sensor that bins: {values}"
    return [
        f"mean side of the square at each glimpse: {sides}",
        f"pixels read after each glimpse, {read}",
    ]


def require_usable(approximations: Approximations, split: Split) -> None:
    """Raises SettingsError for what `boed.fit` did not give, no split, or images of another size."""
    if not isinstance(approximations, Approximations):
        raise SettingsError(f"expected what boed.fit gave, found {type(approximations).__name__}; fit first")
    require_split(split)
    geometry, size = approximations.geometry, tuple(split.images.shape[1:])
    if size != (wanted := (geometry.height, geometry.width, geometry.channels)):
        raise SettingsError(
            f"expected images (height, width, channels) {wanted}, as fitted, found {size}; fit these images"
        )


def require_glimpses(glimpses: int, approximations: Approximations) -> None:
    """Raises SettingsError for no glimpses, or more than the posterior was fitted for."""
    if not 1 <= glimpses <= approximations.glimpses:
        raise SettingsError(
            f"expected 1 to {approximations.glimpses} glimpses, as fitted, found {glimpses}; "
            "fit again with --glimpses into another --run folder"
        )


def design_settings(
    dataset: DataSet, designer: Designer, *, source: str, seed: int, split: str = "design"
) -> dict[str, Any]:
    """What a store of sequences is identified by: any difference makes other sequences.

    Args:
        split: name of the split whose images are designed for.
    """
    facts = {"dataset": dataset.name, "target": dataset.target}
    return described(designer, dataset[split].fingerprint, source=source, seed=seed) | facts


def described(designer: Designer, fingerprint: str, *, source: str, seed: int) -> dict[str, Any]:
    """The same for images with this fingerprint, of the data set that the approximations were fitted on."""
    learned = designer.learned
    return {
        "dataset": learned.settings.dataset,
        "target": learned.settings.target,
        "fingerprint": fingerprint,
        "geometry": learned.geometry.to_json(),
        "design": {"source": source, "seed": seed, **designer.settings},
        "fit": learned.settings.to_json(),
        "weights": list(designer.weights),
        "approximations": learned.digest(),
    }


def candidates_of(approximations: Approximations, source: str) -> Tensor:
    """(L, 3) places that a source has maps over; none for most."""
    return approximations.places.cpu()[: None if source in WITH_MAPS else 0]
