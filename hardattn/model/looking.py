"""Glimpses of a pool's images for a network, and its trajectories at all images of a split."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from data.dataset import Split
from data.device import one_thread
from data.geometry import Geometry
from data.gpu import is_gpu
from data.pool import ImagePool
from data.retina import Retina
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Look, Mode, Rollout, explore, joined

BATCH = 1000  # images that are looked at together


def look_of(pool: ImagePool, retina: Retina, device: torch.device) -> Look:
    """Glimpses of the pool's images for a network on `device`; the images stay where they are."""
    home = pool.splits[0].images.device

    def look(index: Tensor, locations: Tensor) -> Tensor:
        if is_gpu(home) or locations.is_floating_point():  # whose gradient goes with them
            return pool.glimpses(retina, index.to(home), locations.to(home)).to(device)
        return pool.glimpses(retina, index.to(device), locations.to(device))

    return look


@torch.no_grad()
def look_at_all(
    network: HardAttention,
    split: Split,
    geometry: Geometry,
    steps: int,
    *,
    mode: Mode,
    seed: int = 0,
    batch_size: int = BATCH,
) -> Rollout:
    """One trajectory for every image of a split, in evaluation mode; results on the CPU.

    Places between the pixels are told as the nearest of whole pixels.
    """
    network.eval()
    device = network.device
    look = look_of(ImagePool([split]), geometry.known_retina(), device)
    generator = torch.Generator(device).manual_seed(seed)
    run = partial(explore, network, look, grid=geometry.grid(), steps=steps, mode=mode, generator=generator)
    with one_thread():
        parts = [run(index.to(device)) for index in torch.arange(len(split)).split(batch_size)]
    rollout = joined(parts).cpu()
    return replace(rollout, locations=rollout.locations.round().long())
