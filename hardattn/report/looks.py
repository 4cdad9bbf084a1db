"""Where a trained network looks: heat maps over many images, and single images glimpse by glimpse.

Shapes: B images, T glimpses, L locations, K classes, G glimpse side, C channels, W width of the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from data.dataset import Split
from data.device import one_thread
from data.geometry import Geometry
from data.grid import Grid
from data.places import normalise
from data.pool import ImagePool
from hardattn.loading import Trained
from hardattn.model.locations import Categorical, EpeMap
from hardattn.model.looking import look_at_all, look_of
from hardattn.model.network import HardAttention
from hardattn.model.rollout import walk
from hardattn.objectives.registry import METHODS
from hardattn.objectives.rewards import entropy
from hardattn.report.encoding import png_uri, quantised, rounded
from hardattn.report.heat import heat_of

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
        """Of every t, see `hardattn.report.heat.heat_of`."""
        return heat_of(self.locations, self.geometry)

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
        look = look_of(ImagePool([self.split]), self.geometry.known_retina(), self.network.device)
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
    places = grid.on(states.device)
    rows = [network.policy(state.expand(len(places), -1)).log_prob(places) for state in states]
    return torch.stack(rows)
