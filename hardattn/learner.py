"""One iteration of training a hard-attention network, and its validation: what `train` repeats."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from data.dataset import Split
from data.device import one_thread
from data.errors import SettingsError
from data.geometry import Geometry
from data.pool import ImagePool
from data.retina import Retina
from hardattn.cores import CORES
from hardattn.encoders import COMBINATIONS, GLIMPSE_ENCODERS
from hardattn.methods import LOSS_AT, Method, Objective, terms
from hardattn.network import HardAttention
from hardattn.policies import DEVIATION, POLICIES
from hardattn.rewards import reachable
from hardattn.rollout import Look, Mode, Rollout, explore, follow, joined
from hardattn.stopping import quantile_thresholds
from hardattn.trainer import Trainer, TrainingRecipe
from supervision.batches import Batch, MixedBatches

CHECK_EVERY = 100
DEFAULT_ITERATIONS = 3000
NETWORK = (
    "hidden",
    "dropout",
    "policy_shapes_state",
    "encoder",
    "combine",
    "batch_norm",
    "core",
    "policy",
    "deviation",
)
CHOICES: dict[str, Collection[str]] = {
    "encoder": GLIMPSE_ENCODERS,
    "combine": COMBINATIONS,
    "core": CORES,
    "policy": POLICIES,
    "loss_at": LOSS_AT,
}


@dataclass(frozen=True)
class Recipe(TrainingRecipe):
    """Hyperparameters of network and training; those of any training are `TrainingRecipe`'s.

    Attributes:
        supervised_share: of a batch, which is supervised and unsupervised images together, with sequences to
            imitate.
        hidden, dropout, policy_shapes_state, encoder, combine, batch_norm, core, policy, deviation: see
            `HardAttention`.
        loss_at, rewards, supervision_weight: see `hardattn.methods.Objective`.
    """

    supervised_share: float = 0.25
    hidden: int = 128
    dropout: float = 0.2
    policy_shapes_state: bool = False
    encoder: str = "conv"
    combine: str = "modulate"
    batch_norm: bool = False
    core: str = "gru"
    policy: str = "categorical"
    deviation: float | None = DEVIATION
    loss_at: str = "every"
    supervision_weight: float = 1.0
    rewards: Mapping[str, float] = field(default_factory=lambda: {"final": 1.0})

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                found = getattr(self, name)
                raise SettingsError(f"expected a {name} of {', '.join(choices)}; found {found!r}")
        if self.deviation is not None and self.deviation <= 0:
            raise SettingsError(f"expected a deviation above 0, found {self.deviation}")

    @property
    def network(self) -> dict[str, Any]:
        """What the network is built from."""
        return {name: getattr(self, name) for name in NETWORK}

    @property
    def objective(self) -> Objective:
        return Objective(self.loss_at, self.supervision_weight, self.rewards)

    @classmethod
    def suited(cls, method: Method, *, symmetric: bool, aligned: bool, **chosen: Any) -> Recipe:
        """The default for a method, and images that may be mirrored or are aligned.

        On aligned images designs differ little from image to image, and imitating a few hundred of them would
        only shape the state to recognise them: there the policy reads the state and does not shape it. Where
        nothing is aligned the state must learn to say where to look next, by whichever method.
        """
        default: dict[str, Any] = {
            "mirror": symmetric,
            "policy_shapes_state": not (aligned and method.supervised),
        }
        return cls(**(default | chosen))


@dataclass(frozen=True)
class Budget:
    """When training ends: after `epochs` (as many images as the training split has), or `minutes`.

    >>> Budget(epochs=2).total(1000, 128), Budget().total(1000, 128), Budget(minutes=1).total(1000, 128)
    (16, 3000, None)
    """

    epochs: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.minutes is not None:
            raise SettingsError("expected --epochs or --minutes, found both; leave one out")
        for value in (self.epochs, self.minutes):
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"expected a finite budget above 0, found {value}")

    def total(self, images: int, batch_size: int) -> int | None:
        """Iterations, or None where time decides."""
        if self.minutes is not None:
            return None
        return DEFAULT_ITERATIONS if self.epochs is None else math.ceil(self.epochs * images / batch_size)

    def fraction(self, iteration: int, seconds: float, total: int | None) -> float:
        """How much of it is used, 0 to 1."""
        used = seconds / (60 * self.minutes) if self.minutes else iteration / (total or 1)
        return min(used, 1.0)

    def spent(self, iteration: int, seconds: float, total: int | None) -> bool:
        """Whether to stop; a budget of minutes ends at a check, so that what was learnt is kept."""
        if self.minutes is not None:
            return iteration % CHECK_EVERY == 0 and seconds >= 60 * self.minutes
        return iteration >= (total or 0)


class Learner(Trainer):
    """The training of a hard-attention network by one of the methods."""

    network: HardAttention
    recipe: Recipe

    def __init__(
        self,
        network: HardAttention,
        method: Method,
        batches: MixedBatches,
        geometry: Geometry,
        recipe: Recipe,
        seed: int,
    ) -> None:
        super().__init__(network, geometry, recipe, seed)
        self.method, self.grid, self.steps = method, geometry.grid(), batches.glimpses
        self.labels = batches.pool.labels
        self.boxes = None if batches.pool.boxes is None else reachable(batches.pool.boxes, geometry)
        self.look = look_of(batches.pool, geometry.retina(), self.device)

    def step(self, batch: Batch, fraction: float) -> None:
        """One iteration, `fraction` of the budget being used."""
        supervised, index = self._repeated(batch.supervised, batch.index)
        labels = self.labels[index].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            seen = self._rollout(index, supervised, batch.locations)
            boxes = None if self.boxes is None else self.boxes[index].to(self.device)
            weighted = terms(self.method, seen, labels, supervised, self.recipe.objective, boxes)
        self.descend(torch.stack(list(weighted.values())).sum(), fraction)
        if self.iteration % CHECK_EVERY == 0:
            self.terms = {f"loss_{name}": round(value.item(), 5) for name, value in weighted.items()}

    def _repeated(self, supervised: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Which images are supervised, and all images: first the others, each with all its trajectories."""
        free = index[~supervised].repeat_interleave(self.method.trajectories)
        told = torch.arange(len(free) + int(supervised.sum()), device=index.device) >= len(free)
        return told.to(self.device), torch.cat([free, index[supervised]])

    def _rollout(self, index: Tensor, supervised: Tensor, locations: Tensor) -> Rollout:
        generator = self.generator()
        varied = self.variation(len(supervised), generator)
        network, index, parts = self.network.train(), index.to(self.device), list[Rollout]()
        free, guided = (~supervised).nonzero().view(-1), supervised.nonzero().view(-1)
        if len(free):
            look = varied.of(free).look(self.look, self.grid)
            parts.append(
                explore(
                    network,
                    look,
                    index[free],
                    self.grid,
                    self.steps,
                    mode=self.method.training,
                    generator=generator,
                )
            )
        if len(guided):
            own = varied.of(guided)
            told = own.locations(locations[-len(guided) :].to(self.device), self.grid)
            parts.append(follow(network, own.look(self.look, self.grid), index[guided], told, self.grid))
        return joined(parts)


def look_of(pool: ImagePool, retina: Retina, device: torch.device) -> Look:
    """Glimpses of the pool's images for a network on `device`; the images stay where they are."""
    home = pool.splits[0].images.device

    def look(index: Tensor, locations: Tensor) -> Tensor:
        return pool.glimpses(retina, index.to(home), locations.to(home)).to(device)

    return look


@torch.no_grad()
def look_at_all(
    network: HardAttention,
    split: Split,
    geometry: Geometry,
    steps: int,
    *,
    mode: Mode,
    seed: int = 0,
    batch_size: int = 1000,
) -> Rollout:
    """One trajectory for every image of a split, in evaluation mode; results on the CPU."""
    network.eval()
    device = network.device
    look = look_of(ImagePool([split]), geometry.retina(), device)
    generator = torch.Generator(device).manual_seed(seed)
    run = partial(explore, network, look, grid=geometry.grid(), steps=steps, mode=mode, generator=generator)
    with one_thread():
        return joined([run(index.to(device)) for index in torch.arange(len(split)).split(batch_size)]).cpu()


def accuracy_and_nll(logits: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
    """After every glimpse: share of right predictions, and mean -log p(label) in nats.

    Args:
        logits: (B, T, K).
        labels: (B,).
    """
    log_probs = logits.float().log_softmax(-1)
    right = (log_probs.argmax(-1) == labels[:, None]).double().mean(0)
    nll = [nll_loss(log_probs[:, t], labels).item() for t in range(log_probs.shape[1])]
    return right.tolist(), nll


class Validator:
    """Figures of a network on the validation images."""

    def __init__(self, split: Split, geometry: Geometry, steps: int, mode: Mode) -> None:
        self.split, self.geometry, self.steps, self.mode = split, geometry, steps, mode

    def __call__(self, network: HardAttention) -> tuple[dict[str, Any], dict[str, Any]]:
        """NLL and accuracy after T glimpses and after each; thresholds for stopping."""
        seen = look_at_all(network, self.split, self.geometry, self.steps, mode=self.mode)
        accuracy, nll = accuracy_and_nll(seen.logits, self.split.labels.cpu())
        figures = {"nll": nll[-1], "accuracy": accuracy[-1], "nll_at": nll, "accuracy_at": accuracy}
        return figures, {"thresholds": quantile_thresholds(seen.gain)}
