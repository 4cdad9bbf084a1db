"""What the files of approximations say: of which task they are, under which settings, with which bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boed.combination import Combination
from boed.part_files import BANK, POSTERIOR
from boed.posteriors.posterior import Posterior
from boed.settings import FittedSettings
from data.dataset import DataSet, Split
from data.errors import CheckpointError, SettingsError, one_line
from data.files import parse_json
from data.geometry import Geometry
from data.registry import load
from data.settings import from_json
from data.tensors import load_tensors

COMMAND = "boed fit"


@dataclass(frozen=True)
class TaskFacts:
    """What approximations need to know of their data set to be used without it.

    Args:
        classes: K.
        attributes: A, of K classes each.
        symmetric: whether a mirrored image is as likely as the image.
        aligned: whether the same part is at the same place in all images.
        origin: what `data.registry.load` opens the data set with; None: it cannot.
    """

    classes: int = 0
    attributes: int = 1
    symmetric: bool = False
    aligned: bool = False
    origin: dict[str, Any] | None = None

    @classmethod
    def of(cls, dataset: DataSet) -> TaskFacts:
        """Those of a data set."""
        attributes = len(dataset.attributes) or 1
        return cls(len(dataset.classes), attributes, dataset.symmetric, dataset.aligned, dataset.origin)


def read_posterior(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header of a fit; raises CheckpointError where anything is missing or damaged."""
    path = folder / POSTERIOR
    tensors, about = load_tensors(path, COMMAND)
    _require_parts(path, about, ("settings", "geometry", "train_fingerprint"))
    _require_text(path, about, "train_fingerprint")
    _require_parts(path, tensors, ("places", "bank_ids"))
    return tensors, about


def read_bank(folder: Path) -> Split:
    """The bank that was saved with a fit; raises CheckpointError where anything is missing or damaged."""
    tensors, about = load_tensors(folder / BANK, COMMAND)
    _require_parts(folder / BANK, about, ("fingerprint",))
    _require_text(folder / BANK, about, "fingerprint")
    _require_parts(folder / BANK, tensors, ("images", "labels", "ids"))
    images, labels, ids = (tensors[name] for name in ("images", "labels", "ids"))
    _require_images(folder / BANK, tensors)
    return Split(images, labels, ids, about["fingerprint"], tensors.get("groups"))


def _require_images(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError where images, labels and ids are none, or not as many as each other."""
    images, labels, ids = (tensors[name] for name in ("images", "labels", "ids"))
    groups = tensors.get("groups", ids)
    counted = images.ndim == 4 and len({len(images), len(labels), ids.numel(), groups.numel()}) == 1
    typed = images.dtype == torch.uint8 and labels.dtype == ids.dtype == groups.dtype == torch.int64
    ordered = counted and typed and bool((ids.diff() >= 0).all()) and bool((labels >= 0).all())
    if not ordered:
        shapes = ", ".join(f"{name} {value.dtype} {tuple(value.shape)}" for name, value in tensors.items())
        raise CheckpointError(
            f"expected images, labels from 0 on and ids in order in {path}, found others ({shapes}); move "
            f"it away and run `{COMMAND}` again"
        )


def saved_combination(path: Path) -> Combination:
    """The combination that a file has; raises CheckpointError where it is damaged or another version's."""
    try:
        values = parse_json(path.read_bytes())
        if not isinstance(values, dict):
            raise TypeError(f"{type(values).__name__} instead of an object")
        return from_json(Combination, values, path=path)
    except (ValueError, TypeError, SettingsError) as error:
        raise CheckpointError(
            f"expected a combination of parts in {path}, found it damaged ({error}); move it away and run "
            f"`{COMMAND}` again"
        ) from None


def _require_parts(path: Path, values: object, names: Sequence[str]) -> None:
    kept = values if isinstance(values, Mapping) else {}
    missing = [name for name in names if name not in kept]
    if missing:
        raise CheckpointError(
            f"expected {', '.join(names)} in {path}, found no {', '.join(missing)}; move it away and run "
            f"`{COMMAND}` again"
        )


def _require_text(path: Path, about: Mapping[str, Any], name: str) -> None:
    if not isinstance(about[name], str) or not about[name].isprintable():
        raise CheckpointError(
            f"expected {name} in {path} as text, found {one_line(about[name])}; move it away and run "
            f"`{COMMAND}` again"
        )


def saved_settings(path: Path, about: Mapping[str, Any]) -> FittedSettings:
    """The settings in the header of a file; raises CheckpointError for those of another version."""
    return from_json(FittedSettings, about["settings"], path=path, software=about.get("software", ""))


def saved_geometry(path: Path, about: Mapping[str, Any]) -> Geometry:
    """The geometry in the header of a file; raises CheckpointError for one of another version."""
    return from_json(Geometry, about["geometry"], path=path, software=about.get("software", ""))


def saved_facts(path: Path, about: Mapping[str, Any]) -> TaskFacts:
    """The facts in the header of a file; raises CheckpointError for those of another version."""
    return from_json(TaskFacts, about.get("facts", {}), path=path, software=about.get("software", ""))


def training_images(
    folder: Path,
    settings: FittedSettings,
    about: Mapping[str, Any],
    dataset: DataSet | None,
    facts: TaskFacts,
) -> Split:
    """The images that the bank is among: of the data set, or the saved bank itself."""
    if dataset is None and (folder / BANK).exists():
        return read_bank(folder)
    if dataset is None and facts.origin is None:
        raise CheckpointError(
            f"expected in {folder} what the data set {settings.dataset} was opened with, or the file {BANK}, "
            "found neither; give the data set that it was fitted on"
        )
    dataset = dataset or load(**(facts.origin or {}))
    train = dataset["train"]
    if about["train_fingerprint"] != train.fingerprint or settings.target != dataset.target:
        raise CheckpointError(
            f"expected approximations of {dataset.name} {dataset.target} ({train.fingerprint[:12]}) in "
            f"{folder}, found those of {settings.dataset} {settings.target} "
            f"({about['train_fingerprint'][:12]}); use another --run folder or fit again"
        )
    return train


def rows_of_bank(path: Path, train: Split, ids: Tensor) -> Tensor:
    """Where the images of the bank are among the training images; CheckpointError for one that is not."""
    known = train.ids.cpu()
    rows = torch.searchsorted(known, ids).clamp(max=len(known) - 1) if ids.dtype == known.dtype else None
    if rows is None or not torch.equal(known[rows], ids):
        raise CheckpointError(
            f"expected training images as the bank of {path}, found others; move it away and run "
            f"`{COMMAND}` again"
        )
    return rows


def restore(q: Posterior, tensors: dict[str, Tensor], folder: Path) -> None:
    """Gives q its weights; raises CheckpointError where they are another network's, as an older version's."""
    weights = {name.removeprefix("q."): value for name, value in tensors.items() if name.startswith("q.")}
    try:
        q.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"expected weights of this {type(q).__name__} in {folder / POSTERIOR}, found others "
            f"({' '.join(str(error).split())}); fit again into another --run folder"
        ) from None
