"""What trained networks do at validation and test images, wherever a stopping rule ends it.

Shapes: N images, P thresholds, M mixtures of thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from benchmarks.stopping.rules import rule_of
from data.dataset import DataSet, Split
from data.device import at_home
from hardattn.evaluation import looked_at
from hardattn.loading import Trained, open_trained
from hardattn.stopping.flops import Costs
from hardattn.stopping.rules import Predictions

UNITS = ("glimpses", "MFLOPs")


@dataclass(frozen=True)
class Outcomes:
    """What becomes of N images under P thresholds, or mixtures of thresholds, of a rule.

    Attributes:
        spent: unit, see `UNITS` -> (P, N) per image.
        right: (P, N) whether the prediction is right; of a mixture how often.
        nll: (P, N) of the label, in nats.
    """

    spent: Mapping[str, np.ndarray]
    right: np.ndarray
    nll: np.ndarray

    def mixed(self, shares: np.ndarray) -> Outcomes:
        """In the mean, where each of M mixtures takes the thresholds with `shares` (M, P)."""
        spent = {unit: shares @ values for unit, values in self.spent.items()}
        return Outcomes(spent, shares @ self.right, shares @ self.nll)

    def take(self, rows: np.ndarray | list[int]) -> Outcomes:
        """Some of the thresholds or mixtures."""
        spent = {unit: values[rows] for unit, values in self.spent.items()}
        return Outcomes(spent, self.right[rows], self.nll[rows])

    @classmethod
    def joined(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Those of several networks on the same images, one after the other."""
        spent = {unit: np.concatenate([its.spent[unit] for its in parts]) for unit in UNITS}
        return cls(
            spent, *(np.concatenate([getattr(its, name) for its in parts]) for name in ("right", "nll"))
        )


@dataclass(frozen=True)
class Looked:
    """What a network predicts at N images that it looks at T times.

    Attributes:
        predictions: what stopping rules read.
        labels: (N,).
        originals: (N,) of which original each is a version.
        costs: of a glimpse and of what the rules need.
    """

    predictions: Predictions
    labels: Tensor
    originals: Tensor
    costs: Costs

    @classmethod
    def at(cls, run: Trained, split: Split) -> Looked:
        """By the network of a run."""
        images = at_home(split, run.network.device)
        looks, costs = looked_at(run, images)
        return cls(looks.predictions, images.labels.cpu(), images.originals.cpu(), costs)

    @property
    def steps(self) -> int:
        """T."""
        return self.predictions.log_probs.shape[1]

    def outcomes(self, rule: str, thresholds: Sequence[float]) -> Outcomes:
        """Where the rule stops at each of P thresholds."""
        made, rows = rule_of(rule), dict[str, list[Tensor]]()
        for threshold in thresholds:
            stops = made.stops(self.predictions, threshold)
            spent = self.costs.spent(stops.taken, self.steps, made.head, made.classifies)
            right = stops.log_probs.argmax(1) == self.labels
            nll = nll_loss(stops.log_probs, self.labels, reduction="none")
            for name, values in zip((*UNITS, "right", "nll"), (stops.taken, spent, right, nll), strict=True):
                rows.setdefault(name, []).append(values)
        arrays = {name: torch.stack(values).double().numpy() for name, values in rows.items()}
        return Outcomes({unit: arrays[unit] for unit in UNITS}, arrays["right"], arrays["nll"])


@dataclass(frozen=True)
class Network:
    """A trained network, on the images that choose and on those that measure.

    Attributes:
        attribute: what it predicts.
        seed: of its training.
        name: of how it was trained, the same for all attributes and seeds.
        seconds, iterations: of its training.
        valid, test: what it does.
    """

    attribute: str
    seed: int
    name: str
    seconds: float
    iterations: int
    valid: Looked
    test: Looked

    @classmethod
    def of(cls, run_folder: Path, *, dataset: DataSet | None = None, device: str = "auto") -> Network:
        """Of a run that `hardattn train` made.

        Raises:
            GlimpseError: no such run, or not its data; or the run is that of a baseline.
        """
        run = open_trained(run_folder, dataset=dataset, device=device)
        settings, last = run.glimpsing()[1], run.log[-1]
        cost = settings.recipe.ponder_cost if settings.recipe.halts else None
        name = settings.method.upper() if cost is None else f"{settings.method.upper()} {cost:g}"
        valid, test = (Looked.at(run, run.dataset[split]) for split in ("valid", "test"))
        return cls(settings.target, settings.seed, name, last["seconds"], last["iteration"], valid, test)
