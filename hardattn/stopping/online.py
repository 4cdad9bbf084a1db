"""Stopping rules while looking: images that have stopped leave the batch.

A rule is asked after every glimpse, with what was predicted so far and 0 in the place of what was not. It
says the same as if all T glimpses had been taken: no rule looks beyond the glimpse before which it stops.

Shapes: N images, A of them still looked at, T glimpses, K classes, S outputs of stopping heads, W width of
the state.
"""

from __future__ import annotations

import torch
from torch import Tensor

from data.grid import Grid
from data.places import normalise, whole_image
from hardattn.model.halting import after_each, mean_field
from hardattn.model.looking import BATCH
from hardattn.model.network import HardAttention
from hardattn.model.rollout import BLIND, Look, Mode, blind_places, taken_places
from hardattn.stopping.rules import Predictions, Rule, Stops


class Walker:
    """N images that are being looked at, each as long as its rule says.

    Args:
        network: that looks.
        look: takes the glimpses of images by number.
        count: N.
        grid: where glimpses may be.
        steps: T.
        mode: how places are chosen.
        seed: of the draws, where they are.

    Attributes:
        states: (N, W) after the glimpses so far.
        locations: (N, T, 3) places of the glimpses so far; 0 of the others.
        own: (N, T, K) log-probabilities of each glimpse, of a network that halts; None of any other.
        predictions: of N images and T glimpses, so far; 0 where there is none. All that a rule looks at
            before it stops is there.
    """

    def __init__(
        self,
        network: HardAttention,
        look: Look,
        count: int,
        grid: Grid,
        steps: int,
        mode: Mode,
        seed: int,
    ) -> None:
        device = network.device
        self.network, self.look, self.grid, self.steps = network, look, grid, steps
        self.blind = _blind(count, grid, steps, mode, device, seed)
        self.states = network.initial(count).clone()
        self.locations = torch.zeros(count, steps, 3, dtype=torch.int64, device=device)
        classes, said = network.classify(self.states[:1]), network.said(self.states[:1])
        heads = {head: torch.zeros(count, steps, *values.shape[1:]) for head, values in said.items()}
        self.predictions = Predictions(torch.zeros(count, steps, classes.shape[-1]), heads)
        self.own = torch.zeros_like(self.predictions.log_probs) if "halting" in said else None

    def until(self, rule: Rule, threshold: float) -> Stops:
        """Looks at all images until the rule stops; images that have stopped leave the batch."""
        classifies = rule.classifies or self.own is not None
        active = torch.arange(len(self.states))
        for step in range(self.steps):
            self._glimpse(active, step)
            if classifies:
                self._classify(active, step)
            stopped, active = self._parted(active, step, rule, threshold)
            if not classifies:
                self._classify(stopped, step)
        return rule.stops(self.predictions, threshold)

    def _parted(self, active: Tensor, step: int, rule: Rule, threshold: float) -> tuple[Tensor, Tensor]:
        """Of images that were looked at so often those that stop, and those that go on."""
        if step + 1 == self.steps:
            return active, active[:0]
        if rule.head or self.own is not None:
            self._ask_heads(active, step + 1)
        stops = rule.stops(self.predictions, threshold).taken[active] <= step + 1
        return active[stops], active[~stops]

    def _glimpse(self, active: Tensor, step: int) -> None:
        """Glimpse number `step`, from 0, of images (A,)."""
        for rows in self._blocks(active):
            states, before = self.states[rows], self.locations[rows, :step]
            places = self._places(states, before) if self.blind is None else self.blind[rows, step]
            glimpses = self.look(rows, places[:, None])[:, 0]
            centres = normalise(places, self.grid)
            self.states[rows] = self.network.step(glimpses, centres, states)
            self.locations[rows, step] = places.round().long()  # between the pixels: the nearest of them

    def _places(self, states: Tensor, before: Tensor) -> Tensor:
        """(B, 3) where to look next; the first may be a glance."""
        if self.grid.first_glance and before.shape[1] == 0:
            return whole_image(self.grid.image_size, before.device).expand(len(before), 3)
        taken = taken_places(self.network, before, self.grid)
        return self.network.act(states, "greedy", None, taken).places

    def _classify(self, rows: Tensor, step: int) -> None:
        """What the class is after glimpse number `step`."""
        for some in self._blocks(rows):
            log_probs = self.network.classify(self.states[some]).float().log_softmax(-1).cpu()
            self.predictions.log_probs[some.cpu(), step] = self._pooled(some.cpu(), step, log_probs)

    def _pooled(self, rows: Tensor, step: int, log_probs: Tensor) -> Tensor:
        """(B, K) the prediction after glimpse number `step`, of its own (B, K): the mean, if it halts."""
        if self.own is None:
            return log_probs
        self.own[rows, step] = log_probs
        halt = after_each(self.predictions.said["halting"][rows])
        return mean_field(self.own[rows], halt)[:, step]

    def _ask_heads(self, rows: Tensor, step: int) -> None:
        """What is predicted for stopping before glimpse number `step`."""
        for some in self._blocks(rows):
            taken = taken_places(self.network, self.locations[some, :step], self.grid)
            for head, values in self.network.said(self.states[some], taken).items():
                self.predictions.said[head][some.cpu(), step] = values.float().cpu()

    def _blocks(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Numbers of images that are computed together, where the network is."""
        return rows.to(self.states.device).split(BATCH) if len(rows) else ()


def _blind(count: int, grid: Grid, steps: int, mode: Mode, device: torch.device, seed: int) -> Tensor | None:
    """(N, T, 3) places that no network chooses, drawn as `look_at_all` does; None: it chooses."""
    if mode not in BLIND:
        return None
    generator = torch.Generator(device).manual_seed(seed)
    blocks = torch.arange(count).split(BATCH)
    return torch.cat([blind_places(len(b), grid, steps, mode, device, generator) for b in blocks])
