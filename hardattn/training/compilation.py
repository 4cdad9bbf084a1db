"""A training step as one compiled program: `torch.compile`, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from functorch.compile import default_partition
from torch import Tensor
from torch._inductor.custom_graph_pass import CustomPartitionerFn, get_hash_for_files

Forward = Callable[..., dict[str, Tensor]]
"""What a learner computes the weighted terms of its loss by."""


class Partition(CustomPartitionerFn):
    """What the gradient needs is kept as it was computed, as without compiling.

    The usual choice keeps less and computes more anew; of a rectified layer it keeps which values are 0, as
    bytes, which takes the CPU ten times as long to write as the values.
    """

    def __call__(
        self, gm: torch.fx.GraphModule, joint_inputs: Sequence[object], **kwargs: Any
    ) -> tuple[torch.fx.GraphModule, torch.fx.GraphModule]:
        taken = ("num_fwd_outputs", "static_lifetime_input_indices", "static_lifetime_input_nodes")
        return default_partition(gm, joint_inputs, **{name: kwargs[name] for name in taken if name in kwargs})

    def uuid(self) -> Any:
        """Changes with this file, so that programs of another partition are not taken from the cache."""
        return get_hash_for_files((__file__,))


OPTIONS: dict[str, Any] = {
    "fallback_random": True,  # the draws of a step that is not compiled
    "reorder_for_peak_memory": False,  # in their order
    "custom_partitioner_fn": Partition(),
}


def compiled(forward: Forward) -> Forward:
    """The same, compiled as a whole when it is first called; also its gradient is."""
    return torch.compile(forward, fullgraph=True, dynamic=False, options=OPTIONS)
