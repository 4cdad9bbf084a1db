"""Strips of a buffer, each as one copy of neighbouring values."""

from __future__ import annotations

import torch
from torch import Tensor


def strips(buffer: Tensor, starts: Tensor, length: int) -> Tensor:
    """(M, length) values of a buffer from each start (..., M in all); one that leaves it is zero out there.

    >>> strips(torch.arange(4), torch.tensor([1, 3, -1]), 2).tolist()
    [[1, 2], [3, 0], [0, 0]]
    """
    if len(buffer) < length:
        buffer = torch.cat([buffer, buffer.new_zeros(length - len(buffer))])
    windows = buffer.as_strided((len(buffer) - length + 1, length), (1, 1))
    flat = starts.reshape(-1)
    safe = flat.clamp(0, len(windows) - 1)
    found = windows.index_select(0, safe)
    strayed = (flat != safe).nonzero().view(-1)  # only at the very first or last values of the buffer
    if len(strayed):
        position = flat[strayed, None] + torch.arange(length, device=buffer.device)
        inside = (position >= 0) & (position < len(buffer))
        found[strayed] = buffer[position.clamp(0, len(buffer) - 1)] * inside
    return found
