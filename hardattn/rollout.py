"""A rollout: the network looks T times at each image of a batch, where it likes or where it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from data.grid import LocationGrid, normalise
from hardattn.network import HardAttention

Mode = Literal["sample", "greedy", "random", "centre"]
Look = Callable[[Tensor, Tensor], Tensor]
"""(B,) image numbers, (B, T, 2) locations -> (B, T, C, G, G) glimpses."""


@dataclass(frozen=True)
class Rollout:
    """What happened to B images in T glimpses.

    Attributes:
        locations: (B, T, 2) the locations used, top-left pixels.
        log_prob: (B, T) log pi of the location used.
        prior: (B, K) class logits before any glimpse.
        logits: (B, T, K) class logits after each glimpse.
        baseline: (B, T) return expected before each glimpse.
        gain: (B, T) information gain predicted before each glimpse, in nats.
    """

    locations: Tensor
    log_prob: Tensor
    prior: Tensor
    logits: Tensor
    baseline: Tensor
    gain: Tensor

    def cpu(self) -> Rollout:
        """The same on the CPU."""
        return Rollout(**{part.name: getattr(self, part.name).cpu() for part in fields(self)})


def joined(parts: Sequence[Rollout]) -> Rollout:
    """Rollouts of some images, and of others, as one."""
    names = [part.name for part in fields(Rollout)]
    return Rollout(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def explore(
    network: HardAttention,
    look: Look,
    index: Tensor,
    grid: LocationGrid,
    steps: int,
    *,
    mode: Mode,
    generator: torch.Generator | None = None,
) -> Rollout:
    """Runs the network on images `index` for `steps` glimpses, at locations of its own choice.

    Locations are drawn from the policy ("sample"), its most likely ones ("greedy"), uniform on the grid
    ("random") or in the middle of the image ("centre"). The log-probability is that of the location used,
    and no gradient flows through a location.

    Args:
        look: takes the glimpses, for example `partial(pool.glimpses, retina)`.
        index: (B,) numbers of the images.
        generator: of the draws, on the device of `index`.
    """
    if mode in ("random", "centre"):
        return follow(
            network, look, index, _blind(len(index), grid, steps, mode, index.device, generator), grid
        )
    states, locations, log_probs = [network.initial(len(index))], list[Tensor](), list[Tensor]()
    mask = network.mask(len(index))
    for _ in range(steps):
        policy = network.policy(states[-1])
        location = policy.mode() if mode == "greedy" else policy.sample(generator)
        glimpses = look(index, location[:, None])[:, 0]
        states.append(network.step(glimpses, _centres(location, grid), states[-1], mask))
        locations.append(location)
        log_probs.append(policy.log_prob(location))
    return _read(network, torch.stack(states, 1), torch.stack(locations, 1), torch.stack(log_probs, 1))


def follow(
    network: HardAttention, look: Look, index: Tensor, locations: Tensor, grid: LocationGrid
) -> Rollout:
    """Runs the network on images `index` at the given locations (B, T, 2).

    As nothing has to be waited for, the glimpses of all steps are gathered and encoded in one batch, and so
    are the heads on all states; only the core goes step by step.
    """
    count, steps = locations.shape[:2]
    glimpses = look(index, locations).flatten(0, 1)
    centres = _centres(locations, grid).flatten(0, 1)
    features = network.features(glimpses, centres).unflatten(0, (count, steps))
    features = network.mask(count)[:, None] * features
    together = network.core.sequence(features, network.initial(count))
    policy = network.policy(together[:, :-1].flatten(0, 1))
    log_prob = policy.log_prob(locations.flatten(0, 1)).view(count, steps)
    return _read(network, together, locations, log_prob)


def _read(network: HardAttention, states: Tensor, locations: Tensor, log_prob: Tensor) -> Rollout:
    """What the heads say of states (B, T+1, W)."""
    logits, before = network.classify(states, network.mask(len(states))[:, None]), states[:, :-1]
    return Rollout(
        locations, log_prob, logits[:, 0], logits[:, 1:], network.baseline(before), network.gain(before)
    )


def _centres(locations: Tensor, grid: LocationGrid) -> Tensor:
    return normalise(locations, grid.glimpse_size, grid.image_size)


def _blind(
    count: int,
    grid: LocationGrid,
    steps: int,
    mode: Mode,
    device: torch.device,
    generator: torch.Generator | None,
) -> Tensor:
    """(B, T, 2) grid locations that no network chooses."""
    candidates = grid.locations.to(device)
    if mode == "centre":
        nearest = grid.normalised().square().sum(1).argmin()
        return candidates[nearest].expand(count, steps, 2)
    return candidates[torch.randint(len(grid), (count, steps), generator=generator, device=device)]
