"""A rollout: the network looks T times at each image of a batch, where it likes or where it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor

from data.errors import SettingsError
from data.grid import Grid
from data.places import after_glance, is_whole, normalise, whole_image
from hardattn.model.heads import Said, require_said
from hardattn.model.locations import Categorical, Locations
from hardattn.model.network import HardAttention
from hardattn.model.policies import Action, ActMode

Mode = Literal["sample", "greedy", "random", "centre"]
BLIND: tuple[Mode, ...] = ("random", "centre")
"""Modes in which no network chooses."""
Look = Callable[[Tensor, Tensor], Tensor]
"""(B,) image numbers, (B, T, 3) places -> (B, T, C, G, G) glimpses."""
Choose = Callable[[Tensor, torch.Generator | None, Tensor | None], Action]
"""States (B, W), a generator of draws, (B, L) places that are taken -> where to look next."""


@dataclass(frozen=True)
class Rollout:
    """What happened to B images in T glimpses.

    Attributes:
        locations: (B, T, 3) the places used.
        log_prob: (B, T) log pi of the place used; 0 of a first glance, which no policy chose; not a number
            where the policy draws no places, so that no loss can go by it unnoticed.
        prior: (B, K) class logits before any glimpse.
        logits: (B, T, K) class logits after each glimpse; of a network that halts those of its mean over the
            glimpses so far, see `hardattn.model.halting.mean_field`.
        baseline: (B, T) return expected before each glimpse.
        said: by the stopping heads before each glimpse, (B, T, ...) by the name of the head.
        candidates: (B', T, L') log pi of other places than those used, of B' images that `follow` was asked
            about; None: it was not.
        glances: how many glimpses no policy chose: 1 with a first glance, else 0.
        auxiliary: (B, T, K) class logits by each glimpse alone, in training of a network that keeps them.
    """

    locations: Tensor
    log_prob: Tensor
    prior: Tensor
    logits: Tensor
    baseline: Tensor
    said: Said = field(default_factory=dict)
    candidates: Tensor | None = None
    glances: int = 0
    auxiliary: Tensor | None = None

    @property
    def chosen(self) -> slice:
        """The glimpses whose place a policy chose."""
        return slice(self.glances, None)

    @property
    def gain(self) -> Tensor:
        """(B, T) information gain predicted before each glimpse, in nats."""
        return require_said(self.said, "gain")

    def cpu(self) -> Rollout:
        """The same on the CPU."""
        return joined([self], torch.device("cpu"))


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


JOINED = ("locations", "log_prob", "prior", "logits", "baseline", "candidates", "auxiliary")
"""Tensors of a `Rollout`, some of which may be None; beside them it has what is said."""


def joined(parts: Sequence[Rollout], device: torch.device | None = None) -> Rollout:
    """Rollouts of some images, and of others, as one; on a device, or where they are."""

    def together(values: Sequence[Tensor]) -> Tensor:
        return (values[0] if len(values) == 1 else torch.cat(list(values))).to(device)

    whole: dict[str, Any] = {}
    for name in JOINED:
        known = [value for value in (getattr(part, name) for part in parts) if value is not None]
        whole[name] = together(known) if known else None
    said = {head: together([part.said[head] for part in parts]) for head in parts[0].said}
    return Rollout(**whole, said=said, glances=parts[0].glances)


def explore(
    network: HardAttention,
    look: Look,
    index: Tensor,
    grid: Grid,
    steps: int,
    *,
    mode: Mode,
    generator: torch.Generator | None = None,
) -> Rollout:
    """Runs the network on images `index` for `steps` glimpses, at locations of its own choice.

    Locations are drawn from the policy ("sample"), its most likely ones ("greedy"), uniform on the grid
    ("random") or in the middle of the image ("centre"). The log-probability is that of the location used,
    and a gradient flows through it alone, or, where the policy is differentiable, through the location. Where
    the grid says so, the first glimpse is a glance.

    Args:
        look: takes the glimpses, for example `partial(pool.glimpses, retina)`.
        index: (B,) numbers of the images.
        generator: of the draws, on the device of `index`.
    """
    if mode in BLIND:
        return follow(
            network, look, index, blind_places(len(index), grid, steps, mode, index.device, generator), grid
        )
    return read(network, walk(network, look, index, grid, steps, mode=mode, generator=generator), grid)


def walk(
    network: HardAttention,
    look: Look,
    index: Tensor,
    grid: Grid,
    steps: int,
    *,
    mode: Mode,
    generator: torch.Generator | None = None,
    choose: Choose | None = None,
) -> Walk:
    """The glimpses of `explore`, "sample" or "greedy", before the heads read the states.

    Args:
        choose: instead of the network's policy.
    """
    choose = choose or partial(_act, network, cast(ActMode, mode))
    states = [network.initial(len(index))]
    log_probs: list[Tensor] = []
    locations, mask = index.new_zeros(len(index), 0, 3), network.mask(len(index))
    for step in range(steps):
        if grid.first_glance and step == 0:
            location = whole_image(grid.image_size, index.device).expand(len(index), 3)
            log_prob = states[0].new_zeros(len(index))
        else:
            taken = taken_places(network, locations, grid)
            location, scored = choose(states[-1], generator, taken)
            log_prob = states[0].new_full((len(index),), torch.nan) if scored is None else scored
        glimpses = look(index, location[:, None])[:, 0]
        states.append(network.step(glimpses, _centres(location, grid), states[-1], mask))
        locations = torch.cat([locations, location[:, None]], 1)
        log_probs.append(log_prob)
    return Walk(torch.stack(states, 1), locations, torch.stack(log_probs, 1), mask)


def _act(
    network: HardAttention,
    mode: ActMode,
    state: Tensor,
    generator: torch.Generator | None,
    taken: Tensor | None,
) -> Action:
    return network.act(state, mode, generator, taken)


def follow(
    network: HardAttention,
    look: Look,
    index: Tensor,
    locations: Tensor,
    grid: Grid,
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
    taken = _taken_before(network, locations, grid)
    before, taken = together[:, :-1].flatten(0, 1), None if taken is None else taken.flatten(0, 1)
    log_prob = _log_prob(network, before, locations.flatten(0, 1), taken, grid).view(count, steps)
    rollout = read(network, Walk(together, locations, log_prob, mask), grid)
    if candidates is None:
        return rollout
    return replace(
        rollout, candidates=_log_probs(network.policy(before, taken), grid.index(candidates), steps)
    )


def _log_prob(
    network: HardAttention, states: Tensor, places: Tensor, taken: Tensor | None, grid: Grid
) -> Tensor:
    """(B,) log pi of the places (B, 3) after states (B, W); 0 of a glance, see `Rollout`."""
    if network.policy_head.differentiable:
        return states.new_full((len(states),), torch.nan)
    if not grid.first_glance:
        return network.log_prob(states, places, taken)
    glances, any_place = is_whole(places, grid), grid.on(places.device)[0]
    chosen = torch.where(glances[:, None], any_place, places)
    return network.log_prob(states, chosen, taken).masked_fill(glances, 0.0)


def _log_probs(policy: Locations, places: Tensor, steps: int) -> Tensor:
    """(B, T, L') log pi of places (B, L') of the grid, by the policies of B images at T steps."""
    if not isinstance(policy, Categorical):
        raise SettingsError("expected a categorical policy, found another; take --policy categorical")
    every = policy.log_probs.view(len(places), steps, -1)
    return every.gather(2, places[:, None].expand(-1, steps, -1))


def read(network: HardAttention, walked: Walk, grid: Grid) -> Rollout:
    """What the heads say of the states."""
    states, before = walked.states, walked.states[:, :-1]
    logits = network.classify_along(states, network.mask(len(states))[:, None])
    return Rollout(
        walked.locations,
        walked.log_prob,
        prior=logits[:, 0],
        logits=logits[:, 1:],
        baseline=network.baseline(before),
        said=network.said(before, _taken_before(network, walked.locations, grid)),
        glances=int(grid.first_glance),
        auxiliary=network.auxiliary(states[:, -1]) if network.training else None,
    )


def taken_places(network: HardAttention, locations: Tensor, grid: Grid) -> Tensor | None:
    """(B, L) which of the grid the places (B, t, 3) are; None where the policy may return to them."""
    if network.policy_head.repeats:
        return None
    places = grid.index(locations[:, int(grid.first_glance) :])
    none = torch.zeros(len(places), len(grid), dtype=torch.bool, device=places.device)
    return none.scatter(1, places, True)


def _taken_before(network: HardAttention, locations: Tensor, grid: Grid) -> Tensor | None:
    """(B, T, L) the same before each of the glimpses at (B, T, 3)."""
    taken = [taken_places(network, locations[:, :t], grid) for t in range(locations.shape[1])]
    known = [places for places in taken if places is not None]
    return torch.stack(known, 1) if known else None


def _centres(locations: Tensor, grid: Grid) -> Tensor:
    return normalise(locations, grid)


def blind_places(
    count: int,
    grid: Grid,
    steps: int,
    mode: Mode,
    device: torch.device,
    generator: torch.Generator | None,
) -> Tensor:
    """(B, T, 3) places that no network chooses."""
    if grid.first_glance:
        plain = replace(grid, first_glance=False)
        return after_glance(blind_places(count, plain, steps - 1, mode, device, generator), grid.image_size)
    candidates = grid.on(device)
    if mode == "centre":
        nearest = grid.parts[0].normalised().square().sum(1).argmin()  # a plain glimpse: they come first
        return candidates[nearest].expand(count, steps, 3)
    return candidates[torch.randint(len(grid), (count, steps), generator=generator, device=device)]
