"""Rewards by name: what a glimpse earns, for REINFORCE. Each is (B, T), one reward for each glimpse.

Shapes: B images, T glimpses, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from data.errors import SettingsError
from data.geometry import Geometry
from hardattn.model.rollout import Rollout
from hardattn.objectives.registry import REWARDS


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of softmax(logits) over the last dimension.

    >>> entropy(torch.tensor([[0.0, 0.0], [0.0, -torch.inf]]))
    tensor([0.6931, 0.0000])
    """
    return torch.special.entr(logits.float().softmax(-1)).sum(-1)


@REWARDS.register("final")
def final(rollout: Rollout, labels: Tensor, boxes: Tensor | None) -> Tensor:
    """1 with the last glimpse where the prediction after it is right, else 0 (Mnih et al. 2014)."""
    earned = torch.zeros_like(rollout.baseline, dtype=torch.float32)
    earned[:, -1] = (rollout.logits[:, -1].argmax(-1) == labels).float()
    return earned


@REWARDS.register("correct")
def correct(rollout: Rollout, labels: Tensor, boxes: Tensor | None) -> Tensor:
    """1 with every glimpse where the prediction after it is right, else 0: being right sooner earns more."""
    return (rollout.logits.argmax(-1) == labels[:, None]).float()


@REWARDS.register("log-likelihood")
def log_likelihood(rollout: Rollout, labels: Tensor, boxes: Tensor | None) -> Tensor:
    """How much clearer the class became since the step before: rise of log p(label), in nats."""
    log_probs = _all_logits(rollout).float().log_softmax(-1)
    of_label = log_probs.gather(2, labels[:, None, None].expand(-1, log_probs.shape[1], 1)).squeeze(2)
    return of_label.diff(dim=1).detach()


@REWARDS.register("information")
def information(rollout: Rollout, labels: Tensor, boxes: Tensor | None) -> Tensor:
    """Realised information gain: drop of the predictive entropy by each glimpse, in nats."""
    return -entropy(_all_logits(rollout)).diff(dim=1).detach()


@REWARDS.register("entropy")
def surprise(rollout: Rollout, labels: Tensor, boxes: Tensor | None) -> Tensor:
    r"""How unlikely the place was, $-\log \pi(l_t)$ in nats, 0 of a first glance.

    Its mean is the entropy of the policy, and REINFORCE by it climbs the gradient of that without bias: a
    bonus for exploring (Williams and Peng 1991, Function optimization using connectionist reinforcement
    learning algorithms), for policies whose entropy has no closed form too.
    """
    return -rollout.log_prob.detach().float()


@REWARDS.register("box")
def box(rollout: Rollout, labels: Tensor, boxes: Tensor | None) -> Tensor:
    """Minus the distance from a glimpse to the object's box, as a share of the side of the image.

    A square of several touches it from as much further away as it is wider; a glance is at no distance.

    Args:
        boxes: (B, 6) from `reachable`.

    Raises:
        SettingsError: the data set knows no boxes.
    """
    if boxes is None:
        raise SettingsError("expected a data set that knows boxes for the reward box, found one without")
    first, last, (side, plain) = boxes[:, None, :2], boxes[:, None, 2:4], boxes[:, 4:, None].unbind(1)
    corners, sides = rollout.locations[..., :2], rollout.locations[..., 2]
    first = first + (plain - sides)[..., None]
    outside = (first - corners).clamp(min=0) + (corners - last).clamp(min=0)
    return -outside.amax(2).masked_fill(sides >= side, 0).float() / side  # a glance is at no distance


def reachable(boxes: Tensor, geometry: Geometry) -> Tensor:
    """(B, 6) first and last row and column of plain glimpses that touch an object, the image's side, and G.

    Args:
        boxes: (B, 4) first row and column of the object, and those after its last.
        geometry: sizes of glimpse and image.

    >>> reachable(torch.tensor([[10, 20, 14, 26]]), Geometry(40, 40, 1, glimpse_size=8)).tolist()
    [[3, 13, 13, 25, 40, 8]]
    """
    sizes = boxes.new_tensor([max(geometry.image_size), geometry.glimpse_size]).expand(len(boxes), 2)
    return torch.cat([boxes[:, :2] - geometry.glimpse_size + 1, boxes[:, 2:] - 1, sizes], 1)


def require_rewards(weights: Mapping[str, float]) -> None:
    """Raises SettingsError for no reward, an unknown one, or a weight that is not finite.

    >>> require_rewards({"final": 1.0, "box": 0.5})
    """
    unknown = [name for name in weights if name not in REWARDS]
    if unknown or not weights:
        name = repr(unknown[0]) if unknown else "none"
        raise SettingsError(f"expected rewards of {', '.join(REWARDS)}; found {name}")
    endless = [weight for weight in weights.values() if not math.isfinite(weight)]
    if endless:
        raise SettingsError(f"expected finite weights of rewards, found {endless[0]}; change --reward")


def of_the_others(values: Tensor, trajectories: int) -> Tensor:
    """Mean over the other trajectories of the same image, of values (B, T): M successive rows are of one.

    As a baseline of returns it does not depend on the trajectory's own places, so the gradient stays unbiased
    (Kool, van Hoof, Welling 2019, Buy 4 REINFORCE samples, get a baseline for free!).

    >>> of_the_others(torch.tensor([[1.0], [2.0], [6.0]]), 3).flatten().tolist()
    [4.0, 3.5, 1.5]
    """
    each = values.unflatten(0, (-1, trajectories))
    return ((each.sum(1, keepdim=True) - each) / (trajectories - 1)).flatten(0, 1)


def require_discount(discount: float) -> None:
    """Raises SettingsError for a discount that is not above 0 and at most 1; nan is neither."""
    if not 0 < discount <= 1:
        raise SettingsError(f"expected a --discount above 0 and at most 1, found {discount}; change it")


def returns(
    rollout: Rollout,
    labels: Tensor,
    weights: Mapping[str, float],
    boxes: Tensor | None = None,
    discount: float = 1.0,
) -> Tensor:
    r"""(B, T) what is earned from each glimpse on, $R_t = \sum_{k \ge t} \gamma^{k-t} r_k$.

    Args:
        weights: reward -> weight; r is the weighted sum of the rewards.
        boxes: see `box`.
        discount: gamma, above 0 to 1.

    Raises:
        SettingsError: see `require_rewards` and `require_discount`.
    """
    require_discount(discount)
    require_rewards(weights)
    earned = torch.stack([w * REWARDS[name](rollout, labels, boxes) for name, w in weights.items()]).sum(0)
    step = torch.arange(earned.shape[1], dtype=torch.float32, device=earned.device)
    later = step[:, None] - step  # (T, T) by how many glimpses k is later than t
    worth = (discount ** later.clamp(min=0)).tril()
    return (earned[:, :, None] * worth).sum(1)  # no product, whose digits a GPU may spare


def _all_logits(rollout: Rollout) -> Tensor:
    """(B, T+1, K) before any glimpse and after each."""
    return torch.cat([rollout.prior[:, None], rollout.logits], dim=1)
