"""A rollout: the network looks T times at each image of a batch, where it likes or where it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from data.errors import SettingsError
from data.grid import LocationGrid
from data.places import after_glance, is_whole, normalise, whole_image
from hardattn.model.heads import Said
from hardattn.model.network import HardAttention
from hardattn.model.policies import Categorical, Locations

Mode = Literal["sample", "greedy", "random", "centre"]
Look = Callable[[Tensor, Tensor], Tensor]
"""(B,) image numbers, (B, T, 3) places -> (B, T, C, G, G) glimpses."""


@dataclass(frozen=True)
class Rollout:
    """What happened to B images in T glimpses.

    Attributes:
        locations: (B, T, 3) the places used.
        log_prob: (B, T) log pi of the location used; 0 of a first glance, which no policy chose.
        prior: (B, K) class logits before any glimpse.
        logits: (B, T, K) class logits after each glimpse.
        baseline: (B, T) return expected before each glimpse.
        gain: (B, T) information gain predicted before each glimpse, in nats.
        candidates: (B', T, L') log pi of other places than those used, of B' images that `follow` was asked
            about; None: it was not.
        heads: (B, T, S) what the stopping heads say before each glimpse; None: they were not asked.
        glances: how many glimpses no policy chose: 1 with a first glance, else 0.
    """

    locations: Tensor
    log_prob: Tensor
    prior: Tensor
    logits: Tensor
    baseline: Tensor
    gain: Tensor
    candidates: Tensor | None = None
    heads: Tensor | None = None
    glances: int = 0

    @property
    def chosen(self) -> slice:
        """The glimpses whose place a policy chose."""
        return slice(self.glances, None)

    @property
    def said(self) -> Said | None:
        """What the stopping heads say, by its meaning."""
        return None if self.heads is None else Said.of(self.heads)

    def cpu(self) -> Rollout:
        """The same on the CPU."""
        known = {part.name: getattr(self, part.name) for part in fields(self)}
        tensors = {name: value.cpu() for name, value in known.items() if isinstance(value, Tensor)}
        return replace(self, **tensors)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Walk:
    """What a network remembers of T glimpses at B images; `read` makes it a rollout.

    Attributes:
        states: (B, T+1, W) before any glimpse, and after each.
        locations, log_prob: see `Rollout`.
        mask: of the features, see `HardAttention.mask`.
    """

    states: Tensor
    locations: Tensor
    log_prob: Tensor
    mask: Tensor


def joined(parts: Sequence[Rollout]) -> Rollout:
    """Rollouts of some images, and of others, as one."""
    names = [part.name for part in fields(Rollout)]
    every = {name: [getattr(part, name) for part in parts] for name in names}
    known = {name: [value for value in values if isinstance(value, Tensor)] for name, values in every.items()}
    whole = {name: torch.cat(values) for name, values in known.items() if values}
    return replace(parts[0], **whole)  # type: ignore[arg-type]


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
    and no gradient flows through a location. Where the grid says so, the first glimpse is a glance.

    Args:
        look: takes the glimpses, for example `partial(pool.glimpses, retina)`.
        index: (B,) numbers of the images.
        generator: of the draws, on the device of `index`.
    """
    if mode in ("random", "centre"):
        return follow(
            network, look, index, _blind(len(index), grid, steps, mode, index.device, generator), grid
        )
    return read(network, walk(network, look, index, grid, steps, mode=mode, generator=generator), grid)


def walk(
    network: HardAttention,
    look: Look,
    index: Tensor,
    grid: LocationGrid,
    steps: int,
    *,
    mode: Mode,
    generator: torch.Generator | None = None,
) -> Walk:
    """The glimpses of `explore`, "sample" or "greedy", before the heads read the states."""
    states, log_probs = [network.initial(len(index))], list[Tensor]()
    locations, mask = index.new_zeros(len(index), 0, 3), network.mask(len(index))
    for step in range(steps):
        if grid.first_glance and step == 0:
            location = whole_image(grid.image_size).to(index).expand(len(index), 3)
            log_prob = states[0].new_zeros(len(index))
        else:
            policy = network.policy(states[-1], _seen(network, locations, grid))
            location = policy.mode() if mode == "greedy" else policy.sample(generator)
            log_prob = policy.log_prob(location)
        glimpses = look(index, location[:, None])[:, 0]
        states.append(network.step(glimpses, _centres(location, grid), states[-1], mask))
        locations = torch.cat([locations, location[:, None]], 1)
        log_probs.append(log_prob)
    return Walk(torch.stack(states, 1), locations, torch.stack(log_probs, 1), mask)


def follow(
    network: HardAttention,
    look: Look,
    index: Tensor,
    locations: Tensor,
    grid: LocationGrid,
    candidates: Tensor | None = None,
) -> Rollout:
    """Runs the network on images `index` at the given places (B, T, 3).

    As nothing has to be waited for, the glimpses of all steps are gathered and encoded in one batch, and so
    are the heads on all states; only the core goes step by step.

    Args:
        candidates: (B, L', 3) other places on the grid, whose log-probability before each glimpse is wanted.
    """
    count, steps = locations.shape[:2]
    glimpses = look(index, locations).flatten(0, 1)
    centres = _centres(locations, grid).flatten(0, 1)
    features = network.features(glimpses, centres).unflatten(0, (count, steps))
    mask = network.mask(count)
    together = network.core.sequence(mask[:, None] * features, network.initial(count))
    seen = _seen_before(network, locations, grid)
    policy = network.policy(together[:, :-1].flatten(0, 1), None if seen is None else seen.flatten(0, 1))
    log_prob = _log_prob(policy, locations.flatten(0, 1), grid).view(count, steps)
    rollout = read(network, Walk(together, locations, log_prob, mask), grid)
    if candidates is None:
        return rollout
    return replace(rollout, candidates=_log_probs(policy, grid.index(candidates), steps))


def _log_prob(policy: Locations, locations: Tensor, grid: LocationGrid) -> Tensor:
    """(B,) log pi of the places (B, 3); 0 of a glance."""
    if not grid.first_glance:
        return policy.log_prob(locations)
    glances, any_place = is_whole(locations, grid), grid.locations[0].to(locations.device)
    return policy.log_prob(torch.where(glances[:, None], any_place, locations)).masked_fill(glances, 0.0)


def _log_probs(policy: Locations, places: Tensor, steps: int) -> Tensor:
    """(B, T, L') log pi of places (B, L') of the grid, by the policies of B images at T steps."""
    if not isinstance(policy, Categorical):
        raise SettingsError("expected a categorical policy, found another; take --policy categorical")
    every = policy.log_probs.view(len(places), steps, -1)
    return every.gather(2, places[:, None].expand(-1, steps, -1))


def read(network: HardAttention, walked: Walk, grid: LocationGrid) -> Rollout:
    """What the heads say of the states."""
    states, before = walked.states, walked.states[:, :-1]
    logits = network.classify(states, network.mask(len(states))[:, None])
    heads = network.stopping(before)
    seen = _seen_before(network, walked.locations, grid)
    return Rollout(
        walked.locations,
        walked.log_prob,
        prior=logits[:, 0],
        logits=logits[:, 1:],
        baseline=network.baseline(before),
        gain=network.gain(before, seen) if network.predicts_epe else Said.of(heads).gain,
        heads=heads,
        glances=int(grid.first_glance),
    )


def _seen(network: HardAttention, locations: Tensor, grid: LocationGrid) -> Tensor | None:
    """(B, L) which of the grid the places (B, t, 3) are; None where the policy may return to them."""
    if not network.predicts_epe:
        return None
    places = grid.index(locations[:, int(grid.first_glance) :])
    return torch.zeros(len(places), len(grid), dtype=torch.bool, device=places.device).scatter(
        1, places, True
    )


def _seen_before(network: HardAttention, locations: Tensor, grid: LocationGrid) -> Tensor | None:
    """(B, T, L) the same before each of the glimpses at (B, T, 3)."""
    found = [_seen(network, locations[:, :t], grid) for t in range(locations.shape[1])]
    known = [seen for seen in found if seen is not None]
    return torch.stack(known, 1) if known else None


def _centres(locations: Tensor, grid: LocationGrid) -> Tensor:
    return normalise(locations, grid)


def _blind(
    count: int,
    grid: LocationGrid,
    steps: int,
    mode: Mode,
    device: torch.device,
    generator: torch.Generator | None,
) -> Tensor:
    """(B, T, 3) places that no network chooses."""
    if grid.first_glance:
        plain = replace(grid, first_glance=False)
        return after_glance(_blind(count, plain, steps - 1, mode, device, generator), grid.image_size)
    candidates = grid.locations.to(device)
    if mode == "centre":
        nearest = grid.normalised().square().sum(1).argmin()
        return candidates[nearest].expand(count, steps, 3)
    return candidates[torch.randint(len(grid), (count, steps), generator=generator, device=device)]
