"""What a compiled step keeps for its gradient; a module of its own, as torch's compiler is slow to import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch._functorch.partitioners import default_partition
from torch._inductor.custom_graph_pass import CustomPartitionerFn, get_hash_for_files
from torch.fx import GraphModule


class Partition(CustomPartitionerFn):
    """What the gradient needs is kept as it was computed, as without compiling.

    The usual choice keeps less and computes more anew. Of a rectified layer it keeps which values are 0, as
    bytes, and these take a CPU ten times as long to write as the values themselves.
    """

    def __call__(
        self, gm: GraphModule, joint_inputs: Sequence[object], **kwargs: Any
    ) -> tuple[GraphModule, GraphModule]:
        del kwargs["compiler"]  # which every partition is told, and this one does not ask
        return default_partition(gm, joint_inputs, **kwargs)

    def uuid(self) -> Any:
        """Changes with this file, so that no program of another partition is taken from torch's cache."""
        return get_hash_for_files((__file__,))
