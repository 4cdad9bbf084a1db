"""A training step as one compiled program: `torch.compile`, what it needs, and how long it takes."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.errors import SettingsError
from data.progress import progress_bar

Forward = Callable[..., dict[str, Tensor]]
"""What a learner computes the weighted terms of its loss by."""


def compiled(forward: Forward, device: torch.device) -> Forward:
    """The same as one program, forward and backward, which its first call compiles; that call shows its time.

    On a GPU it is replayed as a CUDA graph.

    Raises:
        SettingsError: by the first call, where it cannot be one program.
    """
    from hardattn.training.partition import Partition

    options: dict[str, Any] = {
        "fallback_random": True,  # the draws of a step that is not compiled
        "reorder_for_peak_memory": False,  # in their order
        "custom_partitioner_fn": Partition(),
        "triton.cudagraphs": device.type == "cuda",
    }
    program = torch.compile(forward, fullgraph=True, dynamic=False, options=options)
    calls: list[Forward] = []

    def called(*arguments: Any) -> dict[str, Tensor]:
        if calls:
            return program(*arguments)
        with progress_bar(desc="compile the training step", total=1, unit="step") as bar:
            weighted = _first(program, arguments)
            bar.update()
        calls.append(program)
        return weighted

    return called


def _first(program: Forward, arguments: Sequence[Any]) -> dict[str, Tensor]:
    """Its first call; what cannot be compiled is said in one line."""
    try:
        return program(*arguments)
    except torch._dynamo.exc.TorchDynamoException as error:
        raise SettingsError(
            f"expected a training step that can be compiled as a whole, found {str(error).splitlines()[0]}; "
            "leave --compile out"
        ) from None


def require_compiler() -> None:
    """Raises SettingsError where there is no C++ compiler for `torch.compile`, or no headers of Python."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise SettingsError(
            f"expected a C++ compiler with --compile, found no {compiler}; install one, name another in the "
            "environment variable CXX, or leave --compile out"
        )
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        raise SettingsError(
            f"expected the headers of Python with --compile, found no {header}; install them (python3-dev), "
            "or leave --compile out"
        )
