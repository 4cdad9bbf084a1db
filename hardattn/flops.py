"""What a glimpse or a whole image costs, by torch's own counter, and how many parameters a network has."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
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
        "policy": mflops(network.policy, state),
        "glimpse and core": mflops(network.step, glimpse, centre, state),
        "classifier": mflops(network.classify, state),
        "gain": 0.0 if network.predicts_epe else mflops(network.gain, state),  # its policy has said it
    }


def mflops(function: Any, *arguments: torch.Tensor) -> float:
    """Millions of floating-point operations of one call: those of products and convolutions.

    >>> mflops(nn.Linear(100, 50), torch.zeros(1, 100))
    0.01
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        function(*arguments)
    return counter.get_total_flops() / 1e6


def parameters(network: nn.Module) -> int:
    """How many numbers are learned, those of heads for training only included.

    >>> parameters(nn.Linear(100, 50))
    5050
    """
    return sum(weights.numel() for weights in network.parameters())
