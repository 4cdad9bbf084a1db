"""The allocator while speeds are compared."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt


def keep_memory() -> None:
    """Lets the allocator of glibc keep what is freed; elsewhere nothing.

    A loop that pads images of 224 pixels spends four fifths of its time in page faults where memory is given
    back after every image. Whether it is hangs on what else was freed, and no rival is to lose by it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
        if mallopt is not None:
            mallopt(parameter, 2**30)
