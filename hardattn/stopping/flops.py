"""What a glimpse or a whole image costs, by torch's own counter, and how many parameters a network has."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from data.crop import crops
from hardattn.model.heads import WIDTH
from hardattn.model.network import HardAttention


@dataclass(frozen=True)
class Costs:
    """MFLOPs of the parts of a glimpse at one image; a multiply-add is 2.

    Attributes:
        look: where to look, and glimpse, location and core; a glimpse between pixels is interpolated, too.
        classify: one prediction of the class.
        heads: name of a stopping head -> one decision by it.
        asked: the same for what is asked before a glimpse that is then not taken, and else comes with it.
        classifying: names of heads whose decision needs the class, whatever the rule.
        pooled: whether a prediction is the mean over glimpses, so that the class is needed after each.
    """

    look: float
    classify: float
    heads: Mapping[str, float]
    asked: Mapping[str, float]
    classifying: Collection[str] = ()
    pooled: bool = False

    @property
    def glimpse(self) -> float:
        """One glimpse with the prediction after it, without any stopping head."""
        return self.look + self.classify

    def spent(self, taken: Tensor, steps: int, head: str = "", classifies: bool = True) -> Tensor:
        """(B,) MFLOPs of images at which `taken` (B,) glimpses of at most `steps` were taken.

        Nothing is decided after the last one. Where neither the rule `classifies` nor its head does, the
        class is said at the end alone.
        """
        glimpses = taken.double()
        each = classifies or self.pooled or head in self.classifying
        classified = glimpses if each else torch.ones_like(glimpses)
        decided = glimpses.clamp(max=steps - 1) * self.heads.get(head, 0.0)
        refused = (taken < steps) * self.asked.get(head, 0.0)
        return glimpses * self.look + classified * self.classify + decided + refused

    def times(self, trajectories: int) -> Costs:
        """Of several trajectories together."""
        heads, asked = (
            {name: trajectories * cost for name, cost in of.items()} for of in (self.heads, self.asked)
        )
        look, classify = trajectories * self.look, trajectories * self.classify
        return Costs(look, classify, heads, asked, self.classifying, self.pooled)


def costs_of(network: HardAttention, glimpse_shape: tuple[int, int, int]) -> Costs:
    """What a network costs at test time.

    A policy that predicts the gain is the head of `gain` as well, beside the entropy of the class. A network
    that halts asks whether to after every glimpse, whatever the rule: its prediction goes by the answer.
    """
    parts = mflops_by_part(network, glimpse_shape)
    heads = {name: parts[name] for name in network.heads}
    asked = {"gain": parts["policy"]} if network.policy_head.predicts_gain else {}
    look = parts["policy"] + parts["glimpse and core"] + parts.get("sensor", 0.0)
    pooled = network.halting_head is not None
    look += parts.get("halting", 0.0)
    return Costs(look, parts["classifier"], heads, asked, classifying=tuple(asked), pooled=pooled)


def mflops_per_glimpse(network: HardAttention, glimpse_shape: tuple[int, int, int]) -> float:
    """Millions of floating-point operations of one glimpse of one image; a multiply-add is 2.

    One whole step at test time: where to look, glimpse and location embedding, core and classifier. The
    baseline is for training only, and what decides about stopping is counted where it does, see `Costs`.
    """
    return costs_of(network, glimpse_shape).glimpse


def mflops_by_part(network: HardAttention, glimpse_shape: tuple[int, int, int]) -> dict[str, float]:
    """The same, by part, and one decision of each stopping head, for one ponder cost.

    With a differentiable policy also "sensor": the glimpse is interpolated, each value at one point. Of a
    network that halts also "halting", its head.
    """
    device = network.device
    state = network.initial(1).detach()  # the counter takes no view of a parameter apart
    glimpse = torch.zeros(1, *glimpse_shape, device=device)
    centre = torch.zeros(1, network.coordinates, device=device)
    parts = {
        "policy": mflops(partial(network.act, mode="greedy"), state),
        "glimpse and core": mflops(network.step, glimpse, centre, state),
        "classifier": mflops(network.classify, state),
    }
    if network.policy_head.differentiable:
        parts["sensor"] = sensor_mflops(glimpse_shape)
    read = torch.zeros(1, network.hidden, device=device)
    if network.halting_head is not None:
        parts["halting"] = mflops(network.halting_head, read)
    output = mflops(nn.Linear(WIDTH, 1), torch.zeros(1, WIDTH))
    heads = {name: mflops(head.hidden, read) + output for name, head in network.heads.by_name.items()}
    said_already = {"gain": 0.0} if network.policy_head.predicts_gain else {}
    return parts | heads | said_already


def sensor_mflops(glimpse_shape: tuple[int, int, int]) -> float:
    """Of a glimpse (C, G, G) that is interpolated bilinearly: its points, and four products for each value.

    >>> round(sensor_mflops((3, 96, 96)), 6)
    0.331776
    """
    channels, size, _ = glimpse_shape
    image, place = torch.zeros(1, size, size, channels, dtype=torch.uint8), torch.tensor([[[0.0, 0.0, size]]])
    return mflops(partial(crops, size=size, factor=1), image, torch.tensor([0]), place)


def _interpolation(images: Sequence[int], points: Sequence[int], *_: Any, **__: Any) -> int:
    """FLOPs of `grid_sample`, bilinear, of shapes (N, C, H, W) and (N, h, w, 2)."""
    return 2 * 4 * images[1] * math.prod(points[:-1])


def _points(_: Sequence[int], size: Sequence[int], *__: Any, **___: Any) -> int:
    """FLOPs of `affine_grid`, matrices 2 x 3 at each of the points of a size (N, C, h, w)."""
    return 2 * 2 * 3 * size[0] * size[2] * size[3]


COUNTED = {torch.ops.aten.grid_sampler_2d: _interpolation, torch.ops.aten.affine_grid_generator: _points}
"""What torch's counter does not know."""


def mflops(function: Any, *arguments: torch.Tensor) -> float:
    """Millions of floating-point operations of one call: those of products, convolutions and interpolations.

    >>> mflops(nn.Linear(100, 50), torch.zeros(1, 100))
    0.01
    """
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
        function(*arguments)
    return counter.get_total_flops() / 1e6


def parameters(network: nn.Module) -> int:
    """How many numbers are learned, those of heads for training only included.

    >>> parameters(nn.Linear(100, 50))
    5050
    """
    return sum(weights.numel() for weights in network.parameters())
