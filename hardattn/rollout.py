"""A rollout: the network looks T times at each image of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from data.grid import LocationGrid, normalise
from hardattn.network import HardAttention

Mode = Literal["sample", "greedy", "random"]
Look = Callable[[Tensor, Tensor], Tensor]
"""(B,) image numbers, (B, 1, 2) locations -> (B, 1, C, G, G) glimpses."""


@dataclass(frozen=True)
class Rollout:
    """What happened to B images in T glimpses.

    Attributes:
        places: (B, T) index in the grid of the location used.
        locations: (B, T, 2) that location, top-left pixels.
        log_prob: (B, T) log pi of the location used.
        prior: (B, K) class logits before any glimpse.
        logits: (B, T, K) class logits after each glimpse.
        baseline: (B, T) reward expected before each glimpse.
        gain: (B, T) information gain predicted before each glimpse, in nats.
    """

    places: Tensor
    locations: Tensor
    log_prob: Tensor
    prior: Tensor
    logits: Tensor
    baseline: Tensor
    gain: Tensor


def rollout(
    network: HardAttention,
    look: Look,
    index: Tensor,
    grid: LocationGrid,
    steps: int,
    *,
    mode: Mode,
    forced: Tensor | None = None,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Rollout:
    """Runs the network on images `index` for `steps` glimpses.

    Locations are drawn from the policy ("sample"), its most likely ones ("greedy") or uniform on the
    grid ("random"); images with `mask` take their `forced` ones instead. The log-probability is that of
    the location used, and no gradient flows through a location.

    Args:
        look: takes the glimpses, for example `partial(pool.glimpses, retina)`.
        index: (B,) numbers of the images.
        forced: (B, T) grid indices to use where `mask` is True.
        mask: (B,) bool.
        generator: of the draws, on the device of `index`.
    """
    state = network.initial(len(index))
    candidates = grid.locations.to(index.device)
    prior = network.classify(state)
    record: dict[str, list[Tensor]] = {
        name: [] for name in ("places", "log_prob", "logits", "baseline", "gain")
    }
    for t in range(steps):
        log_policy = network.policy(state).float().log_softmax(1)
        place = _choose(log_policy.detach(), mode, generator)
        if forced is not None and mask is not None:
            place = torch.where(mask, forced[:, t], place)
        record["places"].append(place)
        record["log_prob"].append(log_policy.gather(1, place[:, None]).squeeze(1))
        record["baseline"].append(network.baseline(state))
        record["gain"].append(network.gain(state))
        location = candidates[place]
        glimpses = look(index, location[:, None])[:, 0]
        state = network.step(glimpses, normalise(location, grid.glimpse_size, grid.image_size), state)
        record["logits"].append(network.classify(state))
    stacked = {name: torch.stack(values, dim=1) for name, values in record.items()}
    return Rollout(locations=candidates[stacked["places"]], prior=prior, **stacked)


def _choose(log_policy: Tensor, mode: Mode, generator: torch.Generator | None) -> Tensor:
    """(B,) grid indices."""
    count, places = log_policy.shape
    if mode == "greedy":
        return log_policy.argmax(1)
    if mode == "random":
        return torch.randint(places, (count,), generator=generator, device=log_policy.device)
    return _draw(log_policy, generator)


def _draw(log_policy: Tensor, generator: torch.Generator | None) -> Tensor:
    """One draw per row by inverting the distribution function: L additions, not L random numbers."""
    total = log_policy.exp().cumsum(1)
    mark = torch.rand(len(total), 1, generator=generator, device=total.device) * total[:, -1:]
    return torch.searchsorted(total, mark, right=True).squeeze(1).clamp(max=total.shape[1] - 1)
