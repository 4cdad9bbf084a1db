"""The hyperparameters of a hard-attention network and of its training, and what of them goes together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from data.errors import SettingsError
from hardattn.cores import CORES
from hardattn.encoders import COMBINATIONS, GLIMPSE_ENCODERS
from hardattn.losses import LossAt, require_loss_at
from hardattn.methods import GAIN_TARGETS, IMITATE_FOR, REINFORCE_LOSSES, Method, Objective
from hardattn.policies import DEVIATION, POLICIES
from hardattn.trainer import TrainingRecipe

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
    "reinforce_loss": REINFORCE_LOSSES,
    "gain_target": GAIN_TARGETS,
}


@dataclass(frozen=True)
class Recipe(TrainingRecipe):
    """Hyperparameters of network and training; those of any training are `TrainingRecipe`'s.

    Attributes:
        supervised_share: of a batch, which is supervised and unsupervised images together, with sequences to
            imitate.
        hidden, dropout, policy_shapes_state, encoder, combine, batch_norm, core, policy, deviation: see
            `HardAttention`.
        loss_at, rewards, supervision_weight, anneal_supervision: see `hardattn.methods.Objective`.
        reinforce_loss: REINFORCE with the "likelihood" of a location, or of a Gaussian policy with its
            "distance" from the mean alone, see `hardattn.losses.reinforce`.
        gain_target: what the predicted information gain is regressed on: the one "realised", or of supervised
            images that which their "design" expected.
        imitate_for: share of the budget after which a method gives way to its `then`.
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
    loss_at: LossAt = "every"
    supervision_weight: float = 1.0
    rewards: Mapping[str, float] = field(default_factory=lambda: {"final": 1.0})
    anneal_supervision: bool = False
    reinforce_loss: str = "likelihood"
    imitate_for: float = IMITATE_FOR
    gain_target: str = "realised"

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                found = getattr(self, name)
                raise SettingsError(f"expected a {name} of {', '.join(choices)}; found {found!r}")
        require_loss_at(self.loss_at)
        if self.deviation is not None and self.deviation <= 0:
            raise SettingsError(f"expected a deviation above 0, found {self.deviation}")
        if self.reinforce_loss == "distance" and self.policy != "gaussian":
            raise SettingsError(
                f"expected --policy gaussian with --reinforce-loss distance, found {self.policy}; "
                "change one of the two"
            )
        if not 0 <= self.imitate_for <= 1:
            raise SettingsError(f"expected a share in [0, 1] for --imitate-for, found {self.imitate_for}")

    @property
    def network(self) -> dict[str, Any]:
        """What the network is built from."""
        return {name: getattr(self, name) for name in NETWORK}

    @property
    def objective(self) -> Objective:
        return Objective(self.loss_at, self.supervision_weight, self.rewards, self.anneal_supervision)

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
