"""The terms of the loss by name, and what they are computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from torch import Tensor

from data.errors import SettingsError
from hardattn.model.rollout import Rollout
from hardattn.objectives import losses, stopping
from hardattn.objectives.methods import Method, Objective
from hardattn.objectives.registry import TERMS
from hardattn.objectives.rewards import of_the_others, returns


@dataclass(frozen=True)
class LossInputs:
    """What the terms of the loss are computed from, of the B images of a batch.

    Attributes:
        rollout: what the network did.
        labels: (B,).
        supervised: (B,) bool, which images have a sequence or a map to learn from.
        objective: the choices that all methods share.
        boxes: see `hardattn.objectives.rewards.box`.
        normaliser: see `hardattn.objectives.losses.reinforce`.
        maps: see `hardattn.objectives.losses.saliency`.
        gains: (G, T) of the designs of supervised images, see `hardattn.objectives.stopping.gain`.
        class_targets: see `hardattn.objectives.losses.classification`; None: the labels.
    """

    rollout: Rollout
    labels: Tensor
    supervised: Tensor
    objective: Objective = field(default_factory=Objective)
    boxes: Tensor | None = None
    normaliser: Tensor | None = None
    maps: Tensor | None = None
    gains: Tensor | None = None
    class_targets: Tensor | None = None

    @property
    def unsupervised(self) -> Tensor:
        """(B,) the other images."""
        return ~self.supervised

    @property
    def targets(self) -> Tensor:
        """(B,) labels to learn, or (B, K) probabilities of them."""
        return self.labels if self.class_targets is None else self.class_targets

    @property
    def returns(self) -> Tensor:
        """(B, T) rewards from each glimpse on."""
        objective = self.objective
        return returns(self.rollout, self.labels, objective.rewards, self.boxes, objective.discount)

    def expected(self, earned: Tensor) -> Tensor | None:
        """(B, T) what returns (B, T) are compared with; None: what the network expects."""
        many = self.objective.trajectories
        return of_the_others(earned, many) if many > 1 else None


@dataclass(frozen=True)
class Term:
    """One term of the loss.

    Attributes:
        value: its scalar, without the weight of the method.
        scored: whether it goes by the log-probability of the places, and so needs a policy that has one.
        of: which images it is a mean over.
    """

    value: Callable[[LossInputs], Tensor]
    scored: bool = False
    of: Literal["all", "supervised", "unsupervised"] = "all"


def _classification(inputs: LossInputs) -> Tensor:
    share = inputs.objective.classification_weight * (1 - _auxiliary_share(inputs))
    return share * losses.classification(inputs.rollout, inputs.targets, inputs.objective.loss_at)


def _auxiliary(inputs: LossInputs) -> Tensor:
    share = inputs.objective.classification_weight * _auxiliary_share(inputs)
    return share * losses.auxiliary(inputs.rollout, inputs.targets)


def _auxiliary_share(inputs: LossInputs) -> float:
    """Of the cross-entropies; 0 where there is but one glimpse, of which no auxiliary one is taken."""
    return inputs.objective.auxiliary if inputs.rollout.logits.shape[1] > 1 else 0.0


def _imitation(inputs: LossInputs) -> Tensor:
    return inputs.objective.supervision_weight * losses.imitation(inputs.rollout, inputs.supervised)


def _saliency(inputs: LossInputs) -> Tensor:
    return inputs.objective.supervision_weight * losses.saliency(inputs.rollout, inputs.maps)


def _reinforce(inputs: LossInputs) -> Tensor:
    earned = inputs.returns
    expected = inputs.expected(earned)
    return losses.reinforce(inputs.rollout, earned, inputs.unsupervised, inputs.normaliser, expected)


def _baseline(inputs: LossInputs) -> Tensor:
    return losses.baseline(inputs.rollout, inputs.returns, inputs.unsupervised)


def _gain(inputs: LossInputs) -> Tensor:
    target = inputs.objective.gain_target
    return stopping.gain(inputs.rollout, inputs.labels, inputs.gains, inputs.supervised, target)


def _ponder(inputs: LossInputs) -> Tensor:
    return stopping.ponder(inputs.rollout, inputs.objective.ponder_cost)


def _of_labels(loss: Callable[[Rollout, Tensor], Tensor], inputs: LossInputs) -> Tensor:
    return loss(inputs.rollout, inputs.labels)


def _of_inference(inputs: LossInputs) -> Tensor:
    """Is not computed of a rollout: `hardattn.training.wake_sleep_learner` has others beside it."""
    raise SettingsError("expected learner='wake-sleep' in a method with a term of wake-sleep, found another")


_TERMS: Mapping[str, Term] = {
    "classification": Term(_classification),
    "auxiliary": Term(_auxiliary),
    "imitation": Term(_imitation, scored=True, of="supervised"),
    "saliency": Term(_saliency, scored=True, of="supervised"),
    "reinforce": Term(_reinforce, scored=True, of="unsupervised"),
    "baseline": Term(_baseline, of="unsupervised"),
    "wake-sleep": Term(_of_inference, scored=True),
    "wake-inference": Term(_of_inference),
    "sleep-inference": Term(_of_inference),
    "gain": Term(_gain),
    "accuracy-gain": Term(partial(_of_labels, stopping.accuracy_gain)),
    "act": Term(partial(_of_labels, stopping.act)),
    "ponder": Term(_ponder),
    "stochastic": Term(partial(_of_labels, stopping.stochastic)),
}
for _name, _term in _TERMS.items():
    TERMS.register(_name)(_term)


def terms(method: Method, inputs: LossInputs, own: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The weighted terms of the loss, by name; their sum is what is minimised.

    Args:
        method: which terms there are, and their weights.
        inputs: of the batch.
        own: terms that the learner of the method has computed itself.
    """
    computed = own or {}
    return {
        name: weight * (computed[name] if name in computed else TERMS.require(name).value(inputs))
        for name, weight in method.weights.items()
    }


def counted(weighted: Mapping[str, Tensor], shares: Mapping[str, float]) -> dict[str, Tensor]:
    """The terms of a part of a batch as they count in that of the whole, whose sum over parts they are.

    Args:
        weighted: terms of the part.
        shares: of the images that it has, by `Term.of`; those of "all" stand for what is not there.

    >>> from torch import ones
    >>> counted({"baseline": ones(()), "gain": ones(())}, {"all": 0.5, "unsupervised": 0.75})
    {'baseline': tensor(0.7500), 'gain': tensor(0.5000)}
    """

    def share(name: str) -> float:
        return shares.get(TERMS[name].of if name in TERMS else "all", shares["all"])

    return {name: value * share(name) for name, value in weighted.items()}
