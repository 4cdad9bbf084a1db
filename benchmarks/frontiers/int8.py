"""A network on the whole image in eight bits, by PyTorch's static quantisation after training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from hardattn.baselines.layers import Baseline, centred

Network = Callable[[Tensor], Tensor]


def in_int8(network: Baseline, images: Tensor) -> Network:
    """The same function of images with weights and activations of eight bits, on a CPU.

    The scales of activations are those of some images; weights have one for each channel. What comes before
    the layers, the images less their mean, stays in float32.

    Args:
        network: trained; it is left as it is.
        images: (B, C, H, W) in [0, 1], of the training split.

    >>> from hardattn.baselines.networks import make_baseline
    >>> network, images = make_baseline("cnn", (1, 16, 16), 2, width=0.25), torch.rand(4, 1, 16, 16)
    >>> in_int8(network, images)(images).shape
    torch.Size([4, 2])
    """
    example: Any = centred(images)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what will replace it
        prepared = prepare_fx(network.layers.eval(), get_default_qconfig_mapping("x86"), (example,))
        prepared(example)
        quantised = convert_fx(prepared)

    @torch.no_grad()
    def forward(given: Tensor) -> Tensor:
        logits: Tensor = quantised(centred(given))
        return logits

    return forward
