"""Where a trained network looks: heat maps over many images, and single images glimpse by glimpse.

Shapes: B images, T glimpses, L locations, K classes, G glimpse side, C channels, W width of the state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import one_hot

from data.dataset import Split
from data.device import one_thread
from data.geometry import Geometry
from data.grid import Grid
from data.places import is_whole, normalise
from data.pool import ImagePool
from hardattn.loading import Trained
from hardattn.model.locations import Categorical, EpeMap
from hardattn.model.looking import look_at_all, look_of
from hardattn.model.network import HardAttention
from hardattn.model.rollout import walk
from hardattn.objectives.registry import METHODS
from hardattn.objectives.rewards import entropy
from hardattn.report.encoding import png_uri, quantised, rounded

CELLS = 56  # of a heat map, along its longer side
DEEPEST = 12.0  # nats below the most likely place, at which the picture of a policy ends


@dataclass(frozen=True)
class Looks:
    """Where a network looked at the test images of its task, as in its evaluation.

    Attributes:
        network, geometry: of the run.
        split: B images.
        locations: (B, T, 3).
        chosen: whether the network chose them, and not chance.
    """

    network: HardAttention
    geometry: Geometry
    split: Split
    locations: Tensor
    chosen: bool

    @classmethod
    def of(cls, run: Trained, network: HardAttention) -> Looks:
        """One trajectory for each test image, by the policy that evaluation uses."""
        settings, split = run.glimpsing()[1], run.dataset["test"]
        geometry, mode = settings.geometry, METHODS[run.method].evaluation
        steps, seed = settings.glimpses, settings.seed
        seen = look_at_all(network, split, geometry, steps, mode=mode, seed=seed)
        return cls(network, geometry, split, seen.locations, mode == "greedy")

    def heat(self) -> list[dict[str, Any]]:
        """For every t the density of the centres, see `density`, and how many places were used.

        Where there are several sides, also the share of images that each was taken at.
        """
        scales = []
        for places in self.locations.transpose(0, 1):
            share = density(places, self.geometry)
            size = {"height": share.shape[0], "width": share.shape[1]}
            used = {"places": len(places.unique(dim=0)), "sides": sides_of(places, self.geometry)}
            scales.append({**size, **used, **quantised(share)})
        return scales

    @torch.no_grad()
    def walk(self, row: int) -> dict[str, Any]:
        """One image, glimpse by glimpse.

        Of each of the T glimpses: its place and what was seen. Before the first and after each: class
        probabilities, their entropy, the gain that is predicted of the next glimpse, and the map that would
        choose it, if there is one: predicted EPE, or log pi. Entropies and gains in nats.
        """
        self.network.eval()
        grid, locations = self.geometry.grid(), self.locations[row].to(self.network.device)
        with one_thread():
            glimpses, states = self._seen(row, locations, grid)
            logits = self.network.classify_along(states[None])[0].float()
            gain = self._gain(states, locations, grid)
            draws = self.chosen and not self.network.policy_head.differentiable
            maps = maps_of(self.network, states, grid) if draws else None
        return {
            "locations": locations.tolist(),
            "glimpses": [self._pictures(glimpse) for glimpse in glimpses],
            "probabilities": rounded(logits.softmax(-1).tolist()),
            "entropy": rounded(entropy(logits).tolist()),
            "gain": rounded(gain.tolist()),
            "maps": None if maps is None else [quantised(each.cpu().numpy()) for each in maps],
        }

    def _seen(self, row: int, locations: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """(T, S*C, G, G) glimpses at places (T, 3) of one image, and the states (T+1, W) before and after.

        Of a differentiable policy they are those at the places between pixels that these are rounded from.
        """
        index = torch.tensor([row], device=self.network.device)
        look = look_of(ImagePool([self.split]), self.geometry.retina(), self.network.device)
        if not (self.chosen and self.network.policy_head.differentiable):
            glimpses = look(index, locations[None])[0]
            return glimpses, states_along(self.network, glimpses, locations, grid)
        walked = walk(self.network, look, index, grid, len(locations), mode="greedy")
        return look(index, walked.locations)[0], walked.states[0]

    def _gain(self, states: Tensor, locations: Tensor, grid: Grid) -> Tensor:
        """(T+1,) what the next glimpse promises before the first, and after each."""
        if self.network.policy_head.repeats:
            return self.network.gain(states)
        first = int(grid.first_glance)  # which is at no place
        used = one_hot(grid.index(locations[first:]), len(grid)).cumsum(0) > 0
        return self.network.gain(states, torch.cat([torch.zeros_like(used[:1]).expand(1 + first, -1), used]))

    def _pictures(self, glimpse: Tensor) -> list[str]:
        """One for each scale of a glimpse (S*C, G, G)."""
        pixels = (255 * glimpse).round().to(torch.uint8).cpu()
        scales = pixels.unflatten(0, (self.geometry.scales, self.geometry.channels))
        return [png_uri(scale.permute(1, 2, 0).numpy()) for scale in scales]


def states_along(network: HardAttention, glimpses: Tensor, locations: Tensor, grid: Grid) -> Tensor:
    """(T+1, W) of one image: before any glimpse, and after each (T, S*C, G, G) at places (T, 3)."""
    states = [network.initial(1)]
    for glimpse, centre in zip(glimpses, normalise(locations, grid), strict=True):
        states.append(network.step(glimpse[None], centre[None], states[-1]))
    return torch.cat(states)


def maps_of(network: HardAttention, states: Tensor, grid: Grid) -> Tensor:
    """(B, L) predicted EPE of every place of the grid, or log pi, of states (B, W); in nats.

    log pi is cut off `DEEPEST` nats below its largest value; of a Gaussian policy it is that of the pixel.
    """
    policy = network.policy(states)
    if isinstance(policy, EpeMap):
        return policy.epe
    log_pi = policy.log_probs if isinstance(policy, Categorical) else _on_grid(network, states, grid)
    return torch.maximum(log_pi, log_pi.amax(1, keepdim=True) - DEEPEST)


def _on_grid(network: HardAttention, states: Tensor, grid: Grid) -> Tensor:
    """(B, L) log-density of a policy that knows no grid."""
    places = grid.locations.to(states.device)
    rows = [network.policy(state.expand(len(places), -1)).log_prob(places) for state in states]
    return torch.stack(rows)


def density(locations: Tensor, geometry: Geometry) -> np.ndarray:
    """(h, w) density of the centres of glimpses at places (B, 3), on cells of the image.

    A histogram, smoothed by a Gaussian of variance G^2 / 2 pi, in units of the share of images per area of a
    glimpse: it is 1 where all images are looked at in the same place. Of several sides, or any, each is
    smoothed by its own, and they add up.

    >>> share = density(torch.tensor([[4, 4, 4]] * 3 + [[12, 12, 4]]), Geometry(20, 20, 1, 4))
    >>> share.shape, tuple(map(int, np.unravel_index(share.argmax(), share.shape)))
    ((20, 20), (6, 6))
    """
    cell = math.ceil(max(geometry.height, geometry.width) / CELLS)
    shape = math.ceil(geometry.height / cell), math.ceil(geometry.width / cell)
    if not geometry.sides:
        locations = locations[~is_whole(locations, geometry)]  # a glance has no centre
    total = np.zeros(shape)
    sides = locations[:, 2].unique().tolist() if geometry.affine else geometry.sides
    for size in sides or (geometry.glimpse_size,):
        centres = centres_of(locations[locations[:, 2] == size], geometry)
        row, col = (centres // cell).T
        row, col = row.clamp(0, shape[0] - 1), col.clamp(0, shape[1] - 1)
        counts = torch.bincount(row * shape[1] + col, minlength=shape[0] * shape[1]).view(shape)
        side = size / cell
        deviation = side / math.sqrt(2 * math.pi)
        smooth = gaussian_filter(counts.double().numpy() / max(1, len(locations)), deviation, mode="constant")
        total += smooth * side**2
    return total


def centres_of(places: Tensor, geometry: Geometry) -> Tensor:
    """(B, 2) the pixel in the middle of places (B, 3); of the whole image, that of the image."""
    inside = torch.minimum(places[:, 2:], torch.tensor(geometry.image_size))
    return places[:, :2] + inside // 2


def sides_of(places: Tensor, geometry: Geometry) -> dict[str, float]:
    """Side -> share of the images that were looked at (B, 3) so wide; nothing of one side, or of any.

    >>> wide = Geometry(8, 8, 1, glimpse_size=4, sides=(4, 8))
    >>> sides_of(torch.tensor([[0, 0, 8], [2, 4, 4], [0, 0, 8], [0, 0, 8]]), wide)
    {'4': 0.25, '8': 0.75}
    """
    sides = () if geometry.affine else geometry.sides
    return {str(side): float((places[:, 2] == side).double().mean()) for side in sides}


def mean_image(split: Split) -> np.ndarray:
    """(H, W, C) uint8: the mean of all images of a split."""
    total = sum(part.sum(0, dtype=torch.int64) for part in split.images.cpu().split(100))
    mean = torch.as_tensor(total).double() / len(split)
    return mean.round().to(torch.uint8).numpy()
