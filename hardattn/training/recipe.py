"""The hyperparameters of a hard-attention network and of its training, and what of them goes together."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from data.errors import SettingsError
from data.plugins import options_of
from hardattn.model.choices import DEVIATION
from hardattn.model.network import HardAttention
from hardattn.model.registry import COMBINATIONS, CORES, ENCODERS, POLICIES
from hardattn.objectives.choices import GAIN_TARGETS, IMITATE_FOR, PONDER_COST, REINFORCE_LOSSES, LossAt
from hardattn.objectives.losses import require_loss_at, step_weights
from hardattn.objectives.methods import Method, Objective
from hardattn.objectives.registry import METHODS
from hardattn.objectives.rewards import require_discount, require_rewards
from hardattn.training import trainer
from hardattn.training.trainer import TrainingRecipe

NETWORK = options_of(HardAttention)
CHOICES: dict[str, Collection[str]] = {
    "encoder": ENCODERS,
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
        hidden, dropout, policy_shapes_state, encoder, combine, batch_norm, core, policy, deviation, frozen,
            halts, infers: see `HardAttention`.
        loss_at, rewards, supervision_weight, anneal_supervision, classification_weight, discount, auxiliary,
            ponder_cost, trajectories: see `hardattn.objectives.methods.Objective`.
        reinforce_loss: REINFORCE with the "likelihood" of a location, or of a Gaussian policy with its
            "distance" from the mean alone, see `hardattn.objectives.losses.reinforce`.
        gain_target: what the predicted information gain is regressed on: the drop of the cross-entropy that
            was "realised", the drop of the "entropy" of the class, or of supervised images what their
            "design" expected.
        imitate_for: share of the budget after which a method gives way to its `then`.
        gradient_equilibrium: first and final ratio of the classifier's gradient to the localiser's, see
            `hardattn.model.gradient_equilibrium`; None: they are as they come.
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
    classification_weight: float = 1.0
    discount: float = 1.0
    auxiliary: float = 0.0
    frozen: bool = False
    halts: bool = False
    infers: bool = False
    ponder_cost: float = PONDER_COST
    trajectories: int = 1
    gradient_equilibrium: Sequence[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingsError(
                    f"expected a {name} of {', '.join(choices)}; found {getattr(self, name)!r}"
                )
        if self.batch_norm and self.batch_size < 2:
            raise SettingsError("expected batches of at least 2 images with --batch-norm, found 1")
        require_loss_at(self.loss_at)
        if self.deviation is not None and self.deviation <= 0:
            raise SettingsError(f"expected a deviation above 0, found {self.deviation}")
        for name in ("supervision_weight", "classification_weight", "ponder_cost"):
            if not 0 <= getattr(self, name) < math.inf:
                option, found = f"--{name.replace('_', '-')}", getattr(self, name)
                raise SettingsError(f"expected a finite {option} of at least 0, found {found}; change it")
        if self.classification_weight == 0 and self.loss_at != "every":
            raise SettingsError(
                "expected a --classification-weight above 0 with --loss-at, found 0; leave one of them out"
            )
        require_rewards(self.rewards)
        require_discount(self.discount)
        require_trajectories(self.trajectories, self.batch_size)
        if not 0 <= self.auxiliary <= 1:
            raise SettingsError(f"expected a share in [0, 1] for --auxiliary, found {self.auxiliary}")
        if self.reinforce_loss == "distance" and not POLICIES[self.policy].distance:
            raise SettingsError(
                f"expected --policy gaussian with --reinforce-loss distance, found {self.policy}; "
                "change one of the two"
            )
        if not 0 <= self.imitate_for <= 1:
            raise SettingsError(f"expected a share in [0, 1] for --imitate-for, found {self.imitate_for}")
        if self.gradient_equilibrium is not None:
            require_ratios(self.gradient_equilibrium)

    @property
    def network(self) -> dict[str, Any]:
        """What the network is built from."""
        return {name: getattr(self, name) for name in NETWORK}

    @property
    def objective(self) -> Objective:
        return Objective(
            *(self.loss_at, self.supervision_weight, self.rewards, self.anneal_supervision, self.gain_target),
            *(self.classification_weight, self.discount),
            auxiliary=self.auxiliary,
            ponder_cost=self.ponder_cost,
            trajectories=self.trajectories,
        )

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
        return cls(**(default | dict(method.suited) | chosen))


def implied(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What a choice of fields of a `Recipe` brings along where it is not chosen itself.

    An encoder may be half of a published pair, the other half being the combination with the place.

    >>> implied({"encoder": "plain"}), implied({"encoder": "plain", "combine": "add"}), implied({})
    ({'combine': 'plain'}, {}, {})
    """
    own = getattr(ENCODERS.get(chosen.get("encoder", "")), "combination", None)
    return trainer.implied(chosen) | ({} if own is None or "combine" in chosen else {"combine": own})


class Need(NamedTuple):
    """Which methods have a use for a field of a recipe.

    Attributes:
        option: that sets it.
        wanted: the methods in words.
        met: whether a method is one of them.
    """

    option: str
    wanted: str
    met: Callable[[Method], bool]


def _reinforcing(option: str) -> Need:
    return Need(option, "a method with REINFORCE", lambda method: method.has("reinforce"))


NEEDS: Mapping[str, Need] = {
    "supervision_weight": Need(
        "--supervision-weight", "a method that imitates", lambda method: method.has("imitation", "saliency")
    ),
    "anneal_supervision": Need(
        "--anneal-supervision",
        "a method that imitates beside REINFORCE",
        lambda method: method.supervised and "reinforce" in method.weights,
    ),
    "imitate_for": Need("--imitate-for", "nogs-finetuned", lambda method: bool(method.then)),
    "rewards": _reinforcing("--reward"),
    "discount": _reinforcing("--discount"),
    "trajectories": Need(
        "--trajectories",
        "a method of REINFORCE alone",
        lambda method: "reinforce" in method.weights and not method.supervised,
    ),
    "classification_weight": Need(
        "--classification-weight",
        "a method that learns where to look",
        lambda method: method.training == "sample",
    ),
    "reinforce_loss": _reinforcing("--reinforce-loss"),
    "policy": Need(
        "--policy", "a method that learns where to look", lambda method: method.training == "sample"
    ),
    "ponder_cost": Need("--ponder-cost", "act or ps-act", lambda method: method.has("ponder")),
    "halts": Need("a network that halts", "act or ps-act", lambda method: method.halts),
    "infers": Need("an inference network", "wsram", lambda method: method.infers),
    "auxiliary": Need("--auxiliary", "multiglimpse", lambda method: method.has("auxiliary")),
    "gradient_equilibrium": Need("--gradient-equilibrium", "multiglimpse", lambda method: method.crops),
    "gain_target": Need(
        "--gain-target", "a method that regresses the gain", lambda method: method.has("gain")
    ),
}


def require_trajectories(count: int, batch_size: int) -> None:
    """Raises SettingsError for a number of trajectories that does not divide the batch.

    >>> require_trajectories(4, 128)
    """
    if type(count) is not int or count < 1 or batch_size % count:
        raise SettingsError(
            f"expected a number of --trajectories that divides --batch-size {batch_size}, found {count!r}; "
            "change one of the two"
        )


def require_ratios(ratios: Sequence[float]) -> None:
    """Raises SettingsError for what is not a first and a final ratio, finite and above 0.

    >>> require_ratios((8.0, 2.0))
    """
    if len(ratios) != 2 or not all(0 < ratio < math.inf for ratio in ratios):
        raise SettingsError(
            "expected FIRST or FIRST,FINAL, finite ratios above 0, for --gradient-equilibrium, found "
            f"{','.join(f'{ratio:g}' for ratio in ratios)}; change it"
        )


def require_balanced(recipe: Recipe, glimpses: int) -> None:
    """Raises SettingsError where one of two gradients that are to be in equilibrium is always 0, or is not
    into the fused feature alone.

    Args:
        glimpses: T.

    >>> balanced = Recipe(policy="affine", gradient_equilibrium=(2.0, 2.0), policy_shapes_state=True)
    >>> require_balanced(balanced, glimpses=4)
    """
    if recipe.gradient_equilibrium is None:
        return
    shares = step_weights(recipe.loss_at, glimpses)[2:]
    for wanted, found, met in (
        ("at least 2 glimpses", glimpses, glimpses > 1),
        ("--policy affine", recipe.policy, POLICIES[recipe.policy].reads == "output"),
        ("--loss-at with a share for every glimpse", recipe.loss_at, bool((shares > 0).all())),
        ("--auxiliary below 1", recipe.auxiliary, recipe.auxiliary < 1),
        ("a --classification-weight above 0", recipe.classification_weight, recipe.classification_weight),
        ("policy_shapes_state", recipe.policy_shapes_state, recipe.policy_shapes_state),
    ):
        if not met:
            raise SettingsError(
                f"expected {wanted} with --gradient-equilibrium, found {found}; leave one of them out"
            )


def require_sides(recipe: Recipe, sides: Collection[int]) -> None:
    """Raises SettingsError for several sides with a network whose parts know plain glimpses alone.

    >>> require_sides(Recipe(policy="gaussian"), ())
    """
    if not sides:
        return
    policies = [name for name, policy in POLICIES.items() if not policy.plain]
    combinations = [name for name, made in COMBINATIONS.items() if "coordinates" in options_of(made)]
    for option, able, found in (
        ("policy", policies, recipe.policy),
        ("combine", combinations, recipe.combine),
    ):
        if found not in able:
            raise SettingsError(
                f"expected --{option} {' or '.join(able)} with several --sides, found {found}; take one or "
                "leave --sides out"
            )


def require_used(name: str, recipe: Recipe) -> None:
    """Raises SettingsError where a recipe says what would change nothing in a training by the method `name`.

    What is as in `Recipe()` says nothing.

    >>> require_used("ps-nogs", Recipe(anneal_supervision=True)), require_used("random", Recipe(hidden=64))
    (None, None)
    """
    default, method = Recipe(), METHODS[name]
    for part, need in NEEDS.items():
        if getattr(recipe, part) != getattr(default, part) and not need.met(method):
            raise SettingsError(
                f"expected {need.wanted} with {need.option}, found {name}; take one or leave the option out"
            )
    if recipe.batch_norm and "batch_norm" not in options_of(ENCODERS[recipe.encoder]):
        able = " or ".join(name for name, made in ENCODERS.items() if "batch_norm" in options_of(made))
        raise SettingsError(
            f"expected --encoder {able} with --batch-norm, found {recipe.encoder}, which has no norm; "
            "take one or leave the option out"
        )
    if recipe.deviation != DEVIATION and "deviation" not in options_of(POLICIES[recipe.policy]):
        able = " or ".join(name for name, policy in POLICIES.items() if "deviation" in options_of(policy))
        raise SettingsError(
            f"expected --policy {able} with --deviation, found {recipe.policy}; take one or "
            "leave the option out"
        )
