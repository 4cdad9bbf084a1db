"""Commands in processes that are forked from one with everything imported: they start at once.

Where a system cannot fork, a process of its own imports everything again.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from importlib import import_module
from multiprocessing.context import ForkProcess, SpawnProcess
from pathlib import Path

MODULES = (
    "boed.cli",
    "hardattn.cli",
    "sklearn.datasets",
    "torch._dynamo",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
)
"""What the commands import, some of it only when the digits, an optimiser or a picture is first needed."""
THREADS = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS"))


def warm_up() -> None:
    """Imports what the commands need, with one thread: a process with several must not be forked."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    for name in MODULES:
        import_module(name)


class ForkedCommand:
    """A command line under way.

    Args:
        arguments: of the Python interpreter: `["-m", module, ...]`.
        log: file that gets all it says.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        process = ForkProcess if sys.platform == "linux" else SpawnProcess
        self._process = process(target=run_module, args=(list(arguments), log))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        self._process.join()


def run_module(arguments: Sequence[str], log: Path) -> None:
    """Does what `python -m MODULE ...` does, in this process; all that is said goes into `log`."""
    _, module, *words = arguments
    with log.open("w", buffering=1) as said, open(os.devnull) as nothing:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        sys.stdout = sys.stderr = said
        sys.stdin = nothing
        sys.argv = [sys.executable, *words]  # which becomes that of the module
        runpy.run_module(module, run_name="__main__", alter_sys=True)
