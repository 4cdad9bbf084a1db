"""What every training shares: optimiser, moving average of the weights, draws, taking it up again."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from data.device import seed_draws
from data.errors import CheckpointError, SettingsError
from data.geometry import Geometry
from data.moving_average import moving_average
from hardattn.training.augment import Variation
from hardattn.training.budget import is_check
from hardattn.training.choices import OPTIMIZERS, PRECISIONS, SELECTIONS
from hardattn.training.distributed import Division
from hardattn.training.optimisers import decay_of, factor_of, optimiser_of
from supervision.batches import Batch

RANGES = {  # of the numbers of a recipe
    "learning_rate": (1e-12, 10.0),
    "weight_decay": (0.0, 1e3),
    "momentum": (0.0, 0.9999),
    "clip": (1e-12, 1e12),
    "average": (0.0, 1.0),
    "jitter": (0.0, 1.0),
    "tone": (0.0, 10.0),
}


@dataclass(frozen=True)
class TrainingRecipe:
    """Hyperparameters of any training.

    Attributes:
        batch_size: B.
        learning_rate: the largest.
        weight_decay: see `hardattn.training.optimisers.optimiser_of`. The default is one of AdamW; for others
            it is far too much, and `implied` takes 0.
        clip: largest norm of the gradient; None: any.
        average: decay of the moving average of the weights, which is what is validated and kept.
        jitter: largest shift of a training glimpse in each axis, as a share of its side.
        mirror: whether half of the training images are mirrored left to right.
        tone: deviation of their contrast and tint.
        optimizer: "adamw", "adam" or "sgd".
        momentum: of SGD.
        schedule: of the learning rate, see `hardattn.training.optimisers.factor_of`.
        select: whether the weights of the smallest validation "nll" are kept, the ponder cost of a network
            that halts counted in, or of the largest "accuracy"; the first check of several that are alike.
    """

    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    clip: float | None = 1.0
    average: float = 0.99
    jitter: float = 0.125
    mirror: bool = False
    tone: float = 0.1
    optimizer: str = "adamw"
    momentum: float = 0.0
    schedule: str = "cosine"
    select: str = "nll"

    def __post_init__(self) -> None:
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise SettingsError(f"expected a batch size of at least 1, found {self.batch_size!r}; change it")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if name == "clip" and value is None:
                continue
            if not isinstance(value, Real) or not low <= float(value) <= high:
                raise SettingsError(
                    f"expected a {name.replace('_', '-')} of {low:g} to {high:g}, found {value!r}; change it"
                )
        for name, choices in (("optimizer", OPTIMIZERS), ("select", SELECTIONS)):
            if getattr(self, name) not in choices:
                found = getattr(self, name)
                raise SettingsError(f"expected --{name} of {', '.join(choices)}; found {found!r}")
        decay_of(self.schedule)  # refuses what is none
        if self.momentum and self.optimizer != "sgd":
            raise SettingsError(
                f"expected --optimizer sgd with --momentum, found {self.optimizer}; change one of the two"
            )


def implied(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What a choice of fields of a `TrainingRecipe` brings along where it is not chosen itself.

    >>> implied({"optimizer": "sgd"}), implied({"optimizer": "sgd", "weight_decay": 1e-4}), implied({})
    ({'weight_decay': 0.0}, {}, {})
    """
    decoupled = chosen.get("optimizer", OPTIMIZERS[0]) == OPTIMIZERS[0]
    return {} if decoupled or "weight_decay" in chosen else {"weight_decay": 0.0}


def require_precision(precision: str) -> None:
    """Raises SettingsError for a precision that products do not have in training."""
    if precision not in PRECISIONS:
        raise SettingsError(f"expected --precision {', '.join(PRECISIONS)}; found {precision!r}")


class Clock:
    """Seconds spent in this run, over all the times it was taken up."""

    def __init__(self, before: float = 0.0) -> None:
        self.before, self.since = before, time.monotonic()

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.since


class Trainer(ABC):
    """Network, optimiser and moving average; `step` is one iteration, `descend` its end.

    Every iteration draws from generators seeded by (seed, iteration), so that a run taken up again goes on
    exactly as it would have.

    Args:
        network: what is trained, on the device where it is trained.
        geometry: of what it looks at.
        recipe: hyperparameters.
        seed: of the draws.
        images: how many of them are an epoch.

    Attributes:
        averaged: the moving average of the network, see `data.moving_average`.
        schedule: of the learning rate; None: no iteration was done since the training was taken up.
        fraction: of the budget that is used.
        iteration: how many are done.
        best: the smallest NLL of the validation labels so far, in nats, or share of them that was missed: by
            which of the two weights are selected.
        terms: of the loss, for the log.
        division: of every batch into parts.
        precision: of products, see `data.gpu.mixed_precision`.
        total: iterations of the whole training, where they are known.
        saved: seconds of training when its state was last saved: whether a budget of minutes is spent is
            decided by them, so that a finished run is found finished.
    """

    network: nn.Module
    recipe: TrainingRecipe

    def __init__(
        self, network: nn.Module, geometry: Geometry, recipe: TrainingRecipe, seed: int, images: int
    ) -> None:
        self.network, self.averaged = network, moving_average(network, recipe.average, iteration=1)
        self.geometry, self.recipe, self.seed = geometry, recipe, seed
        self.device = next(network.parameters()).device
        self.optimiser = optimiser_of(
            recipe.optimizer, network.parameters(), recipe.learning_rate, recipe.weight_decay, recipe.momentum
        )
        self.factor = factor_of(recipe.schedule, math.ceil(images / recipe.batch_size))
        self.schedule: LambdaLR | None = None
        self.clock = Clock()
        self.iteration, self.best, self.saved, self.fraction = 0, math.inf, 0.0, 0.0
        self.terms: dict[str, float] = {}
        self.division, self.precision = Division(), "auto"
        self.total: int | None = None

    @property
    def average(self) -> nn.Module:
        """The network with averaged weights."""
        return self.averaged.module

    @property
    def is_due(self) -> bool:
        """Whether the iteration that was done is to be checked, and its terms to be noted."""
        return is_check(self.iteration) or self.iteration == self.total

    @abstractmethod
    def step(self, batch: Batch, fraction: float) -> None:
        """One iteration, `fraction` of the budget being used."""

    def descend(self, parts: Iterable[Mapping[str, Tensor]], fraction: float) -> None:
        """One step of the optimiser down the gradient of the loss, and of the average towards the weights.

        Args:
            parts: of the batch, of each the weighted terms of the loss as they count in it: the loss is their
                sum, over the parts of all processes. They are noted for the log.
            fraction: of the budget that is used.
        """
        self._set_rate(fraction)
        self.optimiser.zero_grad()
        terms = self._gradient(parts)
        weights = self.optimiser.param_groups[0]["params"]
        self.division.add([weight.grad for weight in weights if weight.grad is not None])
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(weights, self.recipe.clip)
        self.optimiser.step()
        self.iteration += 1
        self.averaged.update_parameters(self.network)
        if self.is_due:
            self._note(terms)

    def _gradient(self, parts: Iterable[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
        """Adds up the gradients of the parts, one after the other; gives their terms."""
        terms = list[dict[str, Tensor]]()
        for weighted in parts:
            torch.stack(list(weighted.values())).sum().backward()
            terms.append({name: value.detach() for name, value in weighted.items()})
        return terms

    def _note(self, terms: list[dict[str, Tensor]]) -> None:
        """The terms of all parts, for the log."""
        values = torch.stack([torch.stack(list(part.values())) for part in terms]).sum(0)
        self.division.add([values])
        named = zip(terms[0], values.tolist(), strict=True)  # one wait for all
        self.terms = {f"loss_{name}": round(value, 5) for name, value in named}

    @contextmanager
    def draws(self) -> Iterator[torch.Generator]:
        """The generator of this iteration: torch's own, from which all is drawn that names none.

        No other can be drawn from in a compiled step. It is seeded here and given back as it was, so that
        training changes no draw of whoever called it.
        """
        number = 2 * (self.seed * 1_000_003 + self.iteration)
        on_gpu = self.device.type == "cuda"
        with torch.random.fork_rng([self.device] if on_gpu else []):
            seed_draws(number)
            yield torch.cuda.default_generators[self.device.index or 0] if on_gpu else torch.default_generator

    def variation(self, count: int) -> Variation:
        """How `count` training images are varied."""
        jitter = round(self.recipe.jitter * self.geometry.glimpse_size)
        mirror, tone = self.recipe.mirror, self.recipe.tone
        return Variation.draw(
            count, self.geometry, mirror=mirror, tone=tone, jitter=jitter, device=self.device
        )

    def _set_rate(self, fraction: float) -> None:
        """The learning rate of this iteration; time may decide how much of the budget is used by then."""
        self.fraction = fraction
        if self.schedule is not None:
            self.schedule.step()
            return
        self.schedule = LambdaLR(
            self.optimiser,
            lambda iteration: self.factor(iteration, self.fraction),
            last_epoch=self.iteration - 1,
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and facts that fix how training goes on."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for number, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in slots.items()}
        self.saved = self.clock.seconds()
        return tensors, {"iteration": self.iteration, "seconds": self.saved, "best": self.best}

    def restore(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Takes up the state that `state` gave.

        Raises:
            CheckpointError: it is that of another network.
        """
        try:
            for part, module in (("network.", self.network), ("average.", self.average)):
                module.load_state_dict(
                    {n.removeprefix(part): v for n, v in tensors.items() if n.startswith(part)}
                )
            optimiser = self.optimiser.state_dict()
            for name, value in tensors.items():
                if name.startswith("optimiser."):
                    _, number, slot = name.split(".", 2)
                    optimiser["state"].setdefault(int(number), {})[slot] = value
            self._require_shapes(optimiser["state"])
            self.optimiser.load_state_dict(optimiser)
            self.iteration, self.best = about["iteration"], about["best"]
            self.averaged.n_averaged.fill_(self.iteration + 1)
            self.schedule = None  # starts anew where it was
            self.saved = about["seconds"]
            self.clock = Clock(self.saved)
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"expected a training state of this network and version, found another: {error}; finish "
                "it with the version that began it, or train into another folder"
            ) from None

    def _require_shapes(self, slots: dict[int, dict[str, Tensor]]) -> None:
        """Raises ValueError where slots of the optimiser are not of the weights of the same number."""
        for number, weights in enumerate(self.network.parameters()):
            for name, value in slots.get(number, {}).items():
                if value.dim() and value.shape != weights.shape:
                    found = tuple(value.shape)
                    raise ValueError(f"{name} of parameter {number} is {found}, not {tuple(weights.shape)}")
