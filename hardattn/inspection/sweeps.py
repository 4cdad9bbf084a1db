"""The loss of a network when one number of one of its differentiable glimpses is another.

Shapes: T glimpses, V values, K classes, D features, W width of the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from data.geometry import Geometry
from data.places import normalise
from hardattn.inspection.curves import Curve, curve
from hardattn.model.localisers import NARROWEST, RANGE, crop_of, u_of
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Look, Rollout, Walk, read
from hardattn.objectives.methods import Objective
from hardattn.objectives.registry import TERMS
from hardattn.objectives.terms import LossInputs

AXES = ("s", "x", "y")
"""Numbers of an affine crop, in the order of the u that choose them."""
SHAPED_BY = ("classification", "auxiliary")
"""Terms of the loss whose gradient reaches a localiser."""


def value_of(u: Tensor, axis: str, s: Tensor) -> Tensor:
    """What s, x or y is at u in [0, 1], of a crop whose width is s, see `hardattn.model.localisers.crop_of`.

    >>> value_of(torch.tensor([0.0, 1.0]), "x", torch.tensor(0.25)).tolist()
    [-0.75, 0.75]
    """
    return NARROWEST + RANGE * u if axis == "s" else 2 * (u - 0.5) * (1 - s)


@dataclass(frozen=True)
class Sweep:
    """What becomes of one image when one number of one glimpse is swept and all else is held.

    Attributes:
        curve: the loss of training, of this image, along the values.
        chosen: the value that the network chose.
    """

    curve: Curve
    chosen: float

    def to_json(self) -> dict[str, float | list[float]]:
        """Values, losses, derivatives and differences as lists, and what was chosen."""
        lists = {name: getattr(self.curve, name).tolist() for name in ("values", "losses", "derivatives")}
        return lists | {"differences": self.curve.differences.tolist(), "chosen": self.chosen}


@dataclass(frozen=True)
class SweptImage:
    """One image whose glimpses are known, one of which is to be moved.

    Args:
        network: in evaluation mode.
        look: takes its glimpses.
        geometry: of them.
        objective: of the training.
        row: (1,) number of the image.
        label: (1,) its class.
        places: (T, 3) the glimpses that the network chose, places between the pixels.
        glimpse: 2 to T, the one to be moved; the first is the whole image.
    """

    network: HardAttention
    look: Look
    geometry: Geometry
    objective: Objective
    row: Tensor
    label: Tensor
    places: Tensor
    glimpse: int

    def sweep(self, axis: str, count: int) -> Sweep:
        """The loss at `count` values of s, x or y, over the range that the localiser reaches.

        The crop stays inside the image, as the localiser keeps it: x and y have the range of the s that was
        chosen; and where s is swept, u_1 and u_2 are held, so that x and y shrink by 1 - s.
        """
        number, (u, extent) = AXES.index(axis), self._chosen
        s = NARROWEST + RANGE * u[0]
        ends = value_of(torch.tensor([0.0, 1.0], device=u.device), axis, s)

        def losses_at(values: Tensor) -> Tensor:
            share = (values - ends[0]) / (ends[1] - ends[0])
            moved = torch.stack([share if n == number else u[n].expand(count) for n in range(len(AXES))], -1)
            return self.losses(crop_of(moved, extent))

        values = torch.linspace(float(ends[0]), float(ends[1]), count, device=u.device)
        return Sweep(curve(losses_at, values), float(value_of(u[number], axis, s)))

    def losses(self, places: Tensor) -> Tensor:
        """(V,) the loss of training with the moved glimpse at each of the places (V, 3)."""
        features = self._features(places)
        held = self._held.expand(len(places), -1, -1)
        before, after = held[:, : self.glimpse - 1], held[:, self.glimpse :]
        together = torch.cat([before, features[:, None], after], 1)
        states = self.network.core.sequence(together, self.network.initial(len(places)))
        return losses_by_image(self._rollout(states), self.label, self.objective)

    @cached_property
    def _chosen(self) -> tuple[Tensor, int]:
        """(3,) u of the glimpse to be moved, and H."""
        extent = max(self.geometry.image_size)
        return u_of(self.places[self.glimpse - 1], extent), extent

    @cached_property
    def _held(self) -> Tensor:
        """(1, T, D) features of all glimpses as they were chosen."""
        with torch.no_grad():
            return self._features(self.places)[None]

    def _features(self, places: Tensor) -> Tensor:
        """(V, D) of glimpses of the image at places (V, 3)."""
        glimpses = self.look(self.row, places[None])[0]
        return self.network.features(glimpses, normalise(places, self.geometry.grid()))

    def _rollout(self, states: Tensor) -> Rollout:
        """What the heads say of states (V, T+1, W), the auxiliary one too, as in training."""
        count, places = len(states), self.places.expand(len(states), -1, -1)
        scores = states.new_full(places.shape[:2], torch.nan)
        walked = Walk(states, places, scores, self.network.mask(count))
        rollout = read(self.network, walked, self.geometry.grid())
        return replace(rollout, auxiliary=self.network.auxiliary(states[:, -1]))


def losses_by_image(rollout: Rollout, label: Tensor, objective: Objective) -> Tensor:
    """(B,) what shapes a localiser in the loss, of each image of a rollout by itself.

    Args:
        label: (1,) the class of all of them.
        objective: with the share of the auxiliary classifier.
    """
    unsupervised = torch.zeros(1, dtype=torch.bool, device=label.device)

    def of_one(parts: dict[str, Tensor]) -> Tensor:
        single = replace(rollout, **{name: part[None] for name, part in parts.items()})  # type: ignore[arg-type]
        return shaping_loss(LossInputs(single, label, unsupervised, objective))

    parts = {name: getattr(rollout, name) for name in ("prior", "logits", "auxiliary")}
    return torch.vmap(of_one)({name: part for name, part in parts.items() if part is not None})


def shaping_loss(inputs: LossInputs, names: Sequence[str] = SHAPED_BY) -> Tensor:
    """The terms of the loss whose gradient reaches a localiser, added up."""
    return torch.stack([TERMS[name].value(inputs) for name in names]).sum()
