"""The learned approximations of one task, together: q, r, the codebook, the estimator and the shrinkage."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from boed.combination import Combination, require_unseen
from boed.completions.completion import Completion
from boed.completions.retrieval import RetrievalCompletion
from boed.estimators.amortised import AmortisedBelief, AmortisedEstimator
from boed.estimators.bank import Bank
from boed.estimators.bank_belief import BankBelief
from boed.estimators.choices import MEMORY_GB
from boed.estimators.estimator import Belief
from boed.estimators.generated_belief import GeneratedBelief
from boed.posteriors.posterior import Posterior
from boed.posteriors.registry import new_posterior
from data.dataset import DataSet, Split
from data.errors import CheckpointError
from data.geometry import Geometry
from data.tensors import load_tensors, save_tensors

FILE = "approximations.safetensors"
TOGETHER = "together"  # setting: the attributes that q was trained on
TARGETS = (5.0, 20.0, 80.0)  # effective sample sizes that the fit chooses from


@dataclass
class Approximations:
    """What `boed fit` learns and `boed generate` uses.

    Attributes:
        q: the posterior, calibrated, in evaluation mode.
        bank: labelled images that q was not trained on: completions and reference for averages.
        places: (L, 3) the codebook of candidates; where every history starts with a glance, it is
            the last of them.
        geometry: sensor and grid.
        settings: what was asked for, JSON-able.
        combination: which parts these are.
        generator: the completion that makes images, where one does.
        estimator: the amortised network, where there is one.
        retrieval: the completion from the bank, where it is not the tempered one.
        weights: (T,) weight of an image's own map at each step; the rest is the average map.
        targets: (T,) effective sample size of retrieval after each glimpse.
        training_rows: (R,) images of the train split, all but the bank's, that q was trained on.
    """

    q: Posterior
    bank: Split
    places: Tensor
    geometry: Geometry
    settings: dict[str, Any]
    combination: Combination = field(default_factory=Combination)
    generator: Completion | None = None
    estimator: AmortisedEstimator | None = None
    retrieval: RetrievalCompletion | None = None
    weights: tuple[float, ...] = ()
    targets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self.weights = self.weights or (0.0,) * self.glimpses
        self.targets = self.targets or (TARGETS[1],) * self.glimpses
        self._embedded: Bank | None = None

    @property
    def glimpses(self) -> int:
        return int(self.settings["glimpses"])

    @property
    def glance(self) -> int | None:
        """Number of the place that is the whole image at a glance, the first of every history, if any is."""
        return len(self.places) - 1 if self.geometry.first_glance else None

    def embedded(self, memory_gb: float = MEMORY_GB) -> Bank:
        """The bank at the places with q's statistics, computed when first asked for with this budget."""
        if self._embedded is None or self._embedded.memory_gb != memory_gb:
            self._embedded = None  # before the next one is made: never two in memory
            self._embedded = Bank(self.q, self.bank, self.places, self.geometry, memory_gb)
        return self._embedded

    def forget(self) -> None:
        """Drops what was computed with q, which has changed."""
        self._embedded = None

    def of_attribute(self, number: int, target: str) -> Approximations:
        """Those of one of the attributes that q was trained on together, with the same statistics."""
        bank = replace(self.bank, labels=self.bank.labels[:, number].contiguous())
        settings = self.settings | {"target": target, TOGETHER: self.settings["target"]}
        one = Approximations(self.q.attribute(number), bank, self.places, self.geometry, settings)
        one._embedded = self.embedded().of_attribute(one.q, bank)
        return one

    def belief(self, bank: Bank, noise: Tensor, completions: int, *, excluded: Tensor | None) -> Belief:
        """What the estimator of the combination knows of images before the first glimpse.

        Args:
            bank: from `embedded`.
            noise: (B, T) uniform numbers fixed by the image.
            completions: N.
            excluded: (B,) bank image that must not complete each image, -1 for none; or None.
        """
        if self.estimator is not None:
            return AmortisedBelief(self.estimator, self.places, self.geometry, len(noise))
        score = self.combination.score
        if self.generator is not None:
            seeds = (noise[:, 0] * 2**53).long()
            return GeneratedBelief(
                self.q, self.generator, self.places, self.geometry, seeds, completions, score
            )
        retrieval = self.retrieval or RetrievalCompletion(self.bank, self.geometry.retina())
        return BankBelief(bank, retrieval, noise, self.targets, completions, score, excluded)

    def own_rows(self, split: Split, rows: Tensor) -> Tensor | None:
        """(B,) where in the bank the images `rows` (B,) of a split are, -1 where not; None for another split.

        An image must not complete itself: where it is found, it is to be excluded.

        Raises:
            SettingsError: completions by proposals could not leave it out.
        """
        if split.fingerprint != self.bank.fingerprint:
            return None
        require_unseen(self.combination)
        same = split.ids[rows][:, None] == self.bank.ids
        return torch.where(same.any(1), same.long().argmax(1), -1)

    def digest(self) -> str:
        """Hash of everything that designs depend on."""
        hasher = hashlib.sha256(self.bank.fingerprint.encode())
        networks = [self.q, self.generator.network if self.generator else None, self.estimator]
        tensors = [value for network in networks if network is not None for value in _values(network)]
        facts = [self.places, self.bank.ids, torch.tensor(self.weights), torch.tensor(self.targets)]
        for tensor in [*tensors, *facts]:
            hasher.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return hasher.hexdigest()

    def save(self, folder: Path) -> None:
        """Writes q, the codebook and the bank's ids; the other parts have files of their own."""
        tensors = {f"q.{name}": value for name, value in self.q.state_dict().items()}
        tensors |= {"places": self.places, "bank_ids": self.bank.ids}
        about = {
            "settings": self.settings,
            "geometry": self.geometry.to_json(),
            "train_fingerprint": self.bank.fingerprint,
        }
        save_tensors(folder / FILE, tensors, about)

    @classmethod
    def load(cls, folder: Path, dataset: DataSet, device: torch.device | str = "cpu") -> Approximations:
        """q, codebook and bank; `boed.fitting.fit.fit` adds the parts of a combination.

        Raises:
            CheckpointError: missing, damaged, or fitted on other training images.
        """
        tensors, about = load_tensors(folder / FILE, "boed fit")
        train = dataset["train"]
        if about["train_fingerprint"] != train.fingerprint or about["settings"]["target"] != dataset.target:
            raise CheckpointError(
                f"expected approximations of {dataset.name} {dataset.target} ({train.fingerprint[:12]}) in "
                f"{folder}, found those of {about['settings']['dataset']} {about['settings']['target']} "
                f"({about['train_fingerprint'][:12]}); use another --run folder or fit again"
            )
        geometry = Geometry(**about["geometry"])
        untrained = about["settings"] | {"pretrained": False}  # published weights would be overwritten
        q = new_posterior(geometry, dataset, untrained, tensors["places"])
        _restore(q, tensors, folder)
        rows = torch.searchsorted(train.ids.cpu(), tensors["bank_ids"])
        bank = train.take(rows).to(device)
        places = tensors["places"].to(device)
        return cls(q.eval().to(device), bank, places, geometry, about["settings"])


def _restore(q: Posterior, tensors: dict[str, Tensor], folder: Path) -> None:
    """Gives q its weights; raises CheckpointError where they are another network's, as an older version's."""
    weights = {name.removeprefix("q."): value for name, value in tensors.items() if name.startswith("q.")}
    try:
        q.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"expected weights of this {type(q).__name__} in {folder / FILE}, found others "
            f"({' '.join(str(error).split())}); fit again into another --run folder"
        ) from None


def _values(network: nn.Module) -> list[Tensor]:
    return list(network.state_dict().values())
