"""The processes that `torchrun` or `accelerate launch` has started for one training."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from data.errors import SettingsError

PATIENCE = timedelta(hours=2)
"""How long processes wait for the first one, which validates and writes."""


@contextmanager
def process_group(device: str) -> Iterator[bool]:
    """Joins the others while it lasts, where this process is one of several; gives whether it is the first.

    They talk by NCCL where each has a GPU of its own, else by gloo.

    Args:
        device: auto, cpu or cuda; of several GPUs of a machine it is the process's own from here on.

    Raises:
        SettingsError: the others are not there.

    >>> with process_group("cpu") as first:
    ...     first
    True
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    import torch  # slow, and one process does not need it here
    import torch._dynamo  # as optimisers do: within a group, whose threads it would keep to the end
    from torch import distributed

    backend = "gloo"
    if device != "cpu" and torch.cuda.is_available():
        own, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        torch.cuda.set_device(own % gpus)
        if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= gpus:
            backend = "nccl"
    try:
        distributed.init_process_group(backend, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise SettingsError(
            f"expected the processes that WORLD_SIZE in the environment counts, found: {error}; start them "
            "with torchrun or accelerate launch, or unset it"
        ) from None
    try:
        yield distributed.get_rank() == 0
        distributed.barrier()  # nobody leaves before all have got what was sent last
    finally:
        distributed.destroy_process_group()
