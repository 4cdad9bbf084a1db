"""The learned approximations of one task, together: q, r, the codebook, the estimator and the shrinkage."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from boed.combination import Combination, require_unseen
from boed.completions.completion import Completion
from boed.completions.retrieval import RetrievalCompletion
from boed.estimators.bank import Bank
from boed.estimators.calibration import Calibration, Levels
from boed.estimators.choices import MEMORY_GB
from boed.estimators.estimator import Belief, BeliefParts
from boed.estimators.registry import ESTIMATORS
from boed.part_files import (
    BANK,
    COMBINATION,
    POSTERIOR,
    adaptivity_file,
    completion_file,
    estimator_file,
)
from boed.posteriors.posterior import Posterior
from boed.posteriors.registry import POSTERIORS
from boed.saved import (
    TaskFacts,
    read_posterior,
    restore,
    rows_of_bank,
    saved_facts,
    saved_geometry,
    saved_settings,
    training_images,
)
from boed.settings import FittedSettings
from data.dataset import DataSet, Split
from data.files import write_json
from data.geometry import Geometry
from data.places import with_sides, without_sides
from data.stages import stage
from data.tensors import save_tensors, sizes_of
from data.version import SOFTWARE

FILE = POSTERIOR


@dataclass(repr=False)
class Approximations:
    """What `boed fit` learns and `boed generate` uses.

    Attributes:
        q: the posterior, calibrated, in evaluation mode.
        bank: labelled images that q was not trained on: completions and reference for averages.
        places: (L, 3) the codebook of candidates; where every history starts with a glance, it is
            the last of them.
        geometry: sensor and grid.
        settings: what was asked for, and of what it was fitted.
        combination: which parts these are.
        generator: the completion that makes images, where one does.
        estimator: the network of the estimator, where it has one.
        retrieval: the completion from the bank, where it is not the tempered one.
        weights: (T,) weight of an image's own map at each step; the rest is the average map.
        calibrations: (T,) how the map of each step is read in nats.
        levels: what of that comes from images of another split.
        facts: of the data set.
    """

    q: Posterior
    bank: Split
    places: Tensor
    geometry: Geometry
    settings: FittedSettings
    combination: Combination = field(default_factory=Combination)
    generator: Completion | None = None
    estimator: nn.Module | None = None
    retrieval: RetrievalCompletion | None = None
    weights: tuple[float, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    levels: Levels = field(default_factory=Levels)
    facts: TaskFacts = field(default_factory=TaskFacts)

    def __post_init__(self) -> None:
        self.weights = self.weights or (0.0,) * self.glimpses
        self.calibrations = self.calibrations or (Calibration(),) * self.glimpses
        self._embedded: Bank | None = None
        self.kept: dict[object, Any] = {}  # what was computed with all of it, and is asked for again

    def __getstate__(self) -> dict[str, Any]:
        """To be sent elsewhere; what is computed from the parts is computed again there."""
        return {**vars(self), "_embedded": None, "kept": {}}

    def __repr__(self) -> str:
        its = self.settings
        parts = f"{self.glimpses} glimpses at {len(self.places)} places, bank of {len(self.bank)} images"
        return f"Approximations({its.dataset} {its.target}, {self.combination.posterior}, {parts})"

    @property
    def glimpses(self) -> int:
        return self.settings.glimpses

    @property
    def glance(self) -> int | None:
        """Number of the place that is the whole image at a glance, the first of every history, if any is."""
        return len(self.places) - 1 if self.geometry.first_glance else None

    def embedded(self, memory_gb: float = MEMORY_GB) -> Bank:
        """The bank at the places with q's statistics, computed when first asked for with this budget."""
        if self._embedded is None or self._embedded.memory_gb != memory_gb:
            self._embedded = None  # before the next one is made: never two in memory
            with stage("bank"):
                self._embedded = Bank(self.q, self.bank, self.places, self.geometry, memory_gb)
        return self._embedded

    def forget(self) -> None:
        """Drops what was computed with q, which has changed."""
        self._embedded = None
        self.kept.clear()

    def of_attribute(self, number: int, target: str) -> Approximations:
        """Those of one of the attributes that q was trained on together, with the same statistics."""
        bank = replace(self.bank, labels=self.bank.labels[:, number].contiguous())
        settings = replace(self.settings, target=target, together=self.settings.target)
        origin = self.facts.origin and self.facts.origin | {"attribute": target}
        one = Approximations(
            self.q.attribute(number),
            bank,
            self.places,
            self.geometry,
            settings,
            facts=replace(self.facts, attributes=1, origin=origin),
        )
        one._embedded = self.embedded().of_attribute(one.q, bank)
        return one

    def belief(self, bank: Bank, noise: Tensor, completions: int, *, excluded: Tensor | None) -> Belief:
        """What the estimator of the combination knows of images before the first glimpse.

        Args:
            bank: from `embedded`.
            noise: (B, T) uniform numbers fixed by the image.
            completions: N.
            excluded: (B, M) bool, bank images that must not complete each image: versions of itself; or None.
        """
        parts = BeliefParts(
            self.q,
            bank,
            self.places,
            self.geometry,
            self.combination.score,
            noise,
            completions,
            excluded,
            self.generator,
            self.retrieval,
            self.estimator,
        )
        return ESTIMATORS.require(self.combination.estimator).belief(parts)

    def versions(self, split: Split, rows: Tensor) -> Tensor:
        """(B, M) bool: which images of the bank are of the same originals as the images `rows` (B,)."""
        same = split.originals[rows.cpu(), None] == self.bank.originals
        return same.to(self.bank.ids.device)

    def excluded(self, split: Split, rows: Tensor) -> Tensor | None:
        """(B, M) bool: bank images that must not complete the images `rows` (B,); None of another split.

        An image must not complete itself, nor another placement of it.

        Raises:
            SettingsError: completions by proposals could not leave it out.
        """
        if split.fingerprint != self.bank.fingerprint:
            return None
        require_unseen(self.combination)
        return self.versions(split, rows)

    def digest(self) -> str:
        """Hash of everything that designs depend on."""
        hasher = hashlib.sha256(self.bank.fingerprint.encode())
        networks = [self.q, self.generator.network if self.generator else None, self.estimator]
        tensors = [value for network in networks if network is not None for value in _values(network)]
        one_side = not self.geometry.sides  # as ever, so that stores stay what they were
        places = without_sides(self.places, self.geometry) if one_side else self.places
        facts = [places, self.bank.ids, torch.tensor(self.weights), torch.tensor(self.calibrations)]
        for tensor in [*tensors, *facts]:
            hasher.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return hasher.hexdigest()

    def save(self, folder: Path | str) -> None:
        """Writes all parts; `boed.load` reads them again."""
        folder = Path(folder)
        self.save_posterior(folder)
        if self.generator is not None:
            self.save_network(folder / completion_file(self.combination), self.generator.network)
        if self.estimator is not None:
            self.save_network(folder / estimator_file(self.combination), self.estimator)
        if not self.combination.exact:
            self.save_adaptivity(folder / adaptivity_file(self.combination))
        write_json(folder / COMBINATION, asdict(self.combination))

    def save_posterior(self, folder: Path) -> None:
        """Writes q, the codebook and the bank's ids; its images too where no data set has them."""
        tensors = {f"q.{name}": value for name, value in self.q.state_dict().items()}
        tensors |= {"places": self.places, "bank_ids": self.bank.ids}
        about = {
            "software": SOFTWARE,
            "settings": self.settings.to_json(),
            "geometry": self.geometry.to_json(),
            "train_fingerprint": self.bank.fingerprint,
            "facts": asdict(self.facts),
        }
        if self.facts.origin is None:
            bank = {name: getattr(self.bank, name) for name in ("images", "labels", "ids")}
            bank |= {} if self.bank.groups is None else {"groups": self.bank.groups}
            save_tensors(folder / BANK, bank, {"fingerprint": self.bank.fingerprint})
        save_tensors(folder / POSTERIOR, tensors, about)  # last: where it is, q need not be learned again

    def save_network(self, path: Path, network: nn.Module) -> None:
        """Writes the network of a completion or an estimator."""
        save_tensors(path, network.state_dict(), {"settings": self.settings.to_json()})

    def save_adaptivity(self, path: Path) -> None:
        """Writes the weights of an image's own map, and how maps are read."""
        calibrations = [each._asdict() for each in self.calibrations]
        kept = {"weights": self.weights, "calibrations": calibrations, "levels": self.levels._asdict()}
        write_json(path, kept)

    @classmethod
    def load(
        cls, folder: Path, dataset: DataSet | None = None, device: torch.device | str = "cpu"
    ) -> Approximations:
        """q, codebook and bank; `boed.fitting.parts.add_parts` adds the parts of a combination.

        Args:
            folder: of a fit.
            dataset: that was fitted on; default the one that it was opened from, or the bank that was saved.
            device: where to compute.

        Raises:
            CheckpointError: missing, damaged, fitted on other training images, or written by another version.
        """
        tensors, about = read_posterior(folder)
        settings = saved_settings(folder / POSTERIOR, about)
        facts = saved_facts(folder / POSTERIOR, about) if dataset is None else TaskFacts.of(dataset)
        train = training_images(folder, settings, about, dataset, facts)
        geometry, places = saved_geometry(folder / POSTERIOR, about), tensors["places"]
        places = places if places.shape[1] == 3 else with_sides(places, geometry)
        with sizes_of(folder / POSTERIOR):
            q = POSTERIORS.require(settings.posterior).new(
                geometry,
                replace(settings, pretrained=False),  # published weights would be overwritten
                places,
                classes=facts.classes,
                attributes=facts.attributes,
            )
        restore(q, tensors, folder)
        rows = rows_of_bank(folder / POSTERIOR, train, tensors["bank_ids"])
        bank = train.take(rows).to(device)
        return cls(q.eval().to(device), bank, places.to(device), geometry, settings, facts=facts)


def _values(network: nn.Module) -> list[Tensor]:
    return list(network.state_dict().values())
