"""Training methods: how locations are chosen, and the weights of the terms of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from data.errors import SettingsError
from hardattn.model.registry import POLICIES
from hardattn.model.rollout import Mode
from hardattn.objectives import losses
from hardattn.objectives.choices import AUXILIARY, PONDER_COST, LossAt
from hardattn.objectives.registry import METHODS, TERMS


@dataclass(frozen=True)
class Method:
    """One way of training the network.

    Attributes:
        summary: one line for the user.
        training: how locations are chosen in training, where they are not forced.
        evaluation: how they are chosen in validation and evaluation.
        weights: term of the loss -> weight; a term that is not named is not used.
        sequences: stem of the store that it imitates, or "" where it needs none.
        supervised_share: of a batch, with sequences to imitate; None: the recipe's.
        trajectories: of each image in training that an inference network proposes.
        then: name of the method that takes over after a part of the budget, or "".
        halts: whether its network is trained to halt, see `hardattn.model.halting`.
        infers: whether its network has an inference network, see `hardattn.model.inference`.
        policy: that it needs, a key of `hardattn.model.registry.POLICIES`; None: any that it can train.
        learner: that trains by it, a key of `hardattn.training.registry.LEARNERS`.
        crops: whether its glimpses are affine crops, see `data.geometry.affine_crops`.
        glimpses: T where it is not chosen; None: the data set's.
        suited: fields of `hardattn.training.recipe.Recipe` that suit it, where they are not the usual ones.
    """

    summary: str
    training: Mode
    evaluation: Mode
    weights: Mapping[str, float]
    sequences: str = ""
    supervised_share: float | None = None
    trajectories: int = 1
    then: str = ""
    halts: bool = False
    infers: bool = False
    policy: str | None = None
    learner: str = "rollout"
    crops: bool = False
    glimpses: int | None = None
    suited: Mapping[str, Any] = field(default_factory=dict)

    @property
    def supervised(self) -> bool:
        """Whether it needs sequences to imitate."""
        return bool(self.sequences)

    def has(self, *names: str) -> bool:
        """Whether one of these terms is in its loss, or in that of the method that takes over.

        >>> METHODS["nogs-all"].has("reinforce"), METHODS["nogs-finetuned"].has("reinforce")
        (False, True)
        """
        later = METHODS[self.then].weights if self.then else {}
        return any(name in self.weights or name in later for name in names)

    def at(self, fraction: float, imitate_for: float) -> Method:
        """The method when `fraction` of the budget is used, `imitate_for` being the part before the change.

        >>> METHODS["nogs-finetuned"].at(0.7, 0.7) is METHODS["ram"], METHODS["ram"].at(1.0, 0.7).then
        (True, '')
        """
        return METHODS[self.then] if self.then and fraction >= imitate_for else self


STOPPING: Mapping[str, float] = dict.fromkeys(("gain", "accuracy-gain", "act", "stochastic"), 1.0)
PARTLY: Mapping[str, float] = {
    "classification": 1.0,
    "imitation": 1.0,
    "reinforce": 0.1,
    "baseline": 1.0,
    **STOPPING,
}
EPE: Mapping[str, float] = {
    "classification": 1.0,
    "epe": 1.0,
    "accuracy-gain": 1.0,
    "act": 1.0,
    "stochastic": 1.0,
}
REINFORCE: Mapping[str, float] = {"classification": 1.0, "reinforce": 1.0, "baseline": 1.0, **STOPPING}
IMITATION: Mapping[str, float] = {"classification": 1.0, "imitation": 1.0, **STOPPING}
SALIENCY: Mapping[str, float] = {
    "classification": 1.0,
    "saliency": 1.0,
    "reinforce": 0.1,
    "baseline": 1.0,
    **STOPPING,
}
BLIND: Mapping[str, float] = {"classification": 1.0, **STOPPING}
MULTIGLIMPSE: Mapping[str, float] = {"classification": 1.0, "auxiliary": 1.0, **STOPPING}
MULTIGLIMPSE_RECIPE: Mapping[str, Any] = {
    **{"encoder": "residual", "combine": "clue", "core": "attention", "policy": "affine", "hidden": 64},
    **{"batch_norm": True, "dropout": 0.0, "loss_at": "after", "auxiliary": AUXILIARY},
    **{"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "clip": None},
    **{"schedule": "one-cycle", "average": 0.0, "jitter": 0.0},
}
GLIMPSENET: Mapping[str, float] = {"classification": 1.0, "saliency": 1.0, **STOPPING}
TRAJECTORIES = 5
WAKE_SLEEP = dict.fromkeys(("wake-sleep", "wake-inference", "sleep-inference"), 1.0)
HALTING: Mapping[str, Any] = {"loss_at": "last"}  # the prediction where it halts


def _imitating(summary: str, sequences: str) -> Method:
    return Method(summary, "sample", "greedy", PARTLY, sequences)


_METHODS: Mapping[str, Method] = {
    "ps-nogs": _imitating(
        "imitates designed sequences on some images, REINFORCE on the others (Harvey et al. 2019)",
        "sequences",
    ),
    "nogs-all": Method(
        "imitates the designed sequences of all images, no REINFORCE",
        "sample",
        "greedy",
        IMITATION,
        "sequences-train",
        supervised_share=1.0,
    ),
    "nogs-finetuned": Method(
        "imitates the designed sequences of all images first, then REINFORCE on all of them",
        "sample",
        "greedy",
        IMITATION,
        "sequences-train",
        supervised_share=1.0,
        then="ram",
    ),
    "saliency": Method(
        "regresses the policy on the EPE maps of some images, REINFORCE on the others (as GlimpseNet's)",
        "sample",
        "greedy",
        SALIENCY,
        "sequences",
        policy="categorical",
    ),
    "glimpsenet": Method(
        "regresses the policy on ground-truth saliency, classifies each region, takes the mean (GlimpseNet)",
        "sample",
        "greedy",
        GLIMPSENET,
        "sequences-salient-train",
        supervised_share=1.0,
        policy="glance",
        suited={"core": "mean", "policy": "glance"},
    ),
    "ps-ram": _imitating("imitates on some images what a trained network looked at", "sequences-recorded"),
    "ps-parts": _imitating("imitates annotated parts of the objects on some images", "sequences-parts"),
    "ps-fixed": _imitating("imitates one fixed greedy order on some images", "sequences-fixed-order"),
    "ps-heuristic": _imitating("imitates the saliency heuristic on some images", "sequences-saliency-50"),
    "ram": Method(
        "REINFORCE with a learned baseline on all images (Mnih et al. 2014)", "sample", "greedy", REINFORCE
    ),
    "act": Method(
        "REINFORCE, and adaptive computation time that shapes the state (Graves 2016)",
        "sample",
        "greedy",
        {**REINFORCE, "ponder": 1.0},
        halts=True,
        suited=HALTING,
    ),
    "ps-act": Method(
        "the same, imitating designed sequences on some images",
        "sample",
        "greedy",
        {**PARTLY, "ponder": 1.0},
        "sequences",
        halts=True,
        suited=HALTING,
    ),
    "wsram": Method(
        "wake-sleep: weighted trajectories of an inference network that is told the class (Ba et al. 2015)",
        "sample",
        "greedy",
        {"classification": 1.0, **WAKE_SLEEP, **STOPPING},
        trajectories=TRAJECTORIES,
        infers=True,
        learner="wake-sleep",
    ),
    "epe-head": Method(
        "looks where it expects to be surest of the class, which it regresses (Gadgil et al. 2024)",
        "sample",
        "greedy",
        EPE,  # the gain is the map's
        policy="epe",
        learner="epe",
    ),
    "multiglimpse": Method(
        "affine crops whose places are learned end to end, fused by attention (Tan et al. 2021)",
        "sample",
        "greedy",
        MULTIGLIMPSE,
        crops=True,
        glimpses=4,
        suited=MULTIGLIMPSE_RECIPE,
    ),
    "random": Method("uniformly random glimpses, in training and evaluation", "random", "random", BLIND),
    "centre": Method("every glimpse in the middle of the image", "centre", "centre", BLIND),
}
for _name, _method in _METHODS.items():
    METHODS.register(_name)(_method)


def method_of(name: str | None, supervised: bool) -> str:
    """The method to train by: `name`, or the default that fits; refuses what does not go together.

    >>> method_of(None, supervised=True), method_of(None, supervised=False)
    ('ps-nogs', 'ram')
    """
    chosen = name or ("ps-nogs" if supervised else "ram")
    if chosen not in METHODS:
        raise SettingsError(f"expected a method of {', '.join(METHODS)}; found {chosen!r}")
    if METHODS[chosen].supervised and not supervised:
        raise SettingsError(f"expected sequences for method {chosen}, found none; add --supervise [FILE]")
    if supervised and not METHODS[chosen].supervised:
        imitating = "ps-act" if METHODS[chosen].halts else "ps-nogs"
        raise SettingsError(
            f"expected no sequences for method {chosen}, found some; leave out --supervise or take "
            f"{imitating}"
        )
    return chosen


def require_policy(name: str, policy: str, steps: int, places: int) -> None:
    """Raises SettingsError where a method cannot train a policy, or places are too few for it.

    Args:
        name: of the method.
        policy: a key of `hardattn.model.registry.POLICIES`.
        steps: T.
        places: L.

    >>> require_policy("epe-head", "epe", steps=4, places=9), require_policy("ram", "gaussian", 10, 9)
    (None, None)
    """
    method, chosen = METHODS[name], POLICIES[policy]
    if method.policy not in (None, policy):
        raise SettingsError(
            f"expected --policy {method.policy} with --method {name}, found {policy}; change one of the two"
        )
    scored = [term for term in TERMS if TERMS[term].scored and method.has(term)]
    if scored and not chosen.scored:
        raise SettingsError(
            f"expected a --policy that learns by its log-probability with --method {name}, by {scored[0]}, "
            f"found {policy}; change one of the two"
        )
    trained = chosen.differentiable or (chosen.scored and scored)
    if method.training == "sample" and method.policy is None and not trained:
        raise SettingsError(
            f"expected a method that trains --policy {policy}, found {name}; change one of the two"
        )
    if not chosen.repeats and steps > places:
        raise SettingsError(
            f"expected at most {places} glimpses, as no place of the grid is taken twice, found {steps}; "
            "set --glimpses"
        )


@dataclass(frozen=True)
class Objective:
    """What a method minimises: the choices that all methods share.

    Attributes:
        loss_at: cross-entropy after the "last" glimpse, "after" every one, "every" one and before any, the
            mean of "both" every and last, or weights of those after each glimpse; see
            `hardattn.objectives.losses.step_weights`.
        supervision_weight: of the imitation, times the method's own.
        classification_weight: of the cross-entropy; 0: the classifier is not learned, and nothing but the
            rewards and what is imitated shapes the network.
        rewards: reward -> weight, see `hardattn.objectives.rewards`.
        discount: of rewards that come later, see `hardattn.objectives.rewards.returns`.
        anneal_supervision: whether the weight of the imitation falls linearly to 0 over the budget.
        gain_target: what the predicted information gain is regressed on, see
            `hardattn.objectives.stopping.gain`.
        ponder_cost: tau in nats for each glimpse, of a network that halts.
        auxiliary: share of the auxiliary classifier in the cross-entropies, of a method that has one.
        trajectories: M successive rows of a batch that are of the same image; of several, the mean return of
            the others is the baseline of each, see `hardattn.objectives.rewards.of_the_others`.
    """

    loss_at: LossAt = "every"
    supervision_weight: float | Tensor = 1.0
    rewards: Mapping[str, float] = field(default_factory=lambda: {"final": 1.0})
    anneal_supervision: bool = False
    gain_target: str = "realised"
    classification_weight: float = 1.0
    discount: float = 1.0
    auxiliary: float = 0.0
    ponder_cost: float = PONDER_COST
    trajectories: int = 1

    def __post_init__(self) -> None:
        losses.require_loss_at(self.loss_at)

    def at(self, fraction: float) -> Objective:
        """The objective when `fraction` of the budget is used.

        >>> Objective(supervision_weight=2.0, anneal_supervision=True).at(0.75).supervision_weight
        0.5
        """
        if not self.anneal_supervision:
            return self
        return replace(self, supervision_weight=self.supervision_weight * (1 - fraction))
