"""What a glimpse costs, by torch's own counter."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from hardattn.network import HardAttention


def mflops_per_glimpse(network: HardAttention, glimpse_shape: tuple[int, int, int]) -> float:
    """Millions of floating-point operations of one glimpse of one image; a multiply-add is 2.

    One whole step at test time: where to look, glimpse and location embedding, core, classifier, and the
    predicted gain that decides about stopping. The baseline is for training only.
    """
    return sum(mflops_by_part(network, glimpse_shape).values())


def mflops_by_part(network: HardAttention, glimpse_shape: tuple[int, int, int]) -> dict[str, float]:
    """The same, by part."""
    device = network.device
    state = network.initial(1)
    glimpse, centre = torch.zeros(1, *glimpse_shape, device=device), torch.zeros(1, 2, device=device)
    return {
        "policy": _count(network.policy, state),
        "glimpse and core": _count(network.step, glimpse, centre, state),
        "classifier": _count(network.classify, state),
        "gain": _count(network.gain, state),
    }


def _count(function: Any, *arguments: torch.Tensor) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        function(*arguments)
    return counter.get_total_flops() / 1e6
