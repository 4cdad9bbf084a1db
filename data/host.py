"""Glimpses of images that stay with the CPU, for a network on a GPU whose memory they do not fit.

Several threads gather them: pages of a memory map that are not in memory yet are waited for side by side.
They go to the GPU by way of pinned memory, and nobody waits for that. What is waited for is where the network
looks: once for each glimpse.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from data.gpu import sent

THREADS = 8
FEWEST = 16  # images that are worth a thread


@cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "glimpses")


def gathered(take: Callable[[Tensor, Tensor], Tensor], index: Tensor, places: Tensor) -> Tensor:
    """(B, ...) `take(index, places)` on the device of `index`, made on the CPU.

    Args:
        take: (M,) images, (M, T, 3) places -> (M, ...), of any of them.
        index: (B,) int64.
        places: (B, T, 3) int64.

    >>> gathered(lambda index, places: places.sum(2) + index[:, None], torch.tensor([1]), torch.ones(1, 2, 3))
    tensor([[4., 4.]])
    """
    told = torch.cat([index[:, None], places.flatten(1)], 1).cpu()  # one wait for both
    here = told[:, 0].long(), told[:, 1:].unflatten(1, places.shape[1:])
    size = max(FEWEST, -(-len(index) // THREADS))
    parts = list(_workers().map(take, *(each.split(size) for each in here)))
    return sent(torch.cat(parts), index.device)
