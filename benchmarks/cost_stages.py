"""Which functions are the stages of fits and designs whose time is taken."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import ModuleType

from benchmarks.stopwatch import Stopwatch

Stages = Mapping[str, Mapping[str, str]]
"""Class or module -> method or function -> stage; what is not there is left out."""

STAGES = {
    "boed.search.designer:History": {
        "look": "glimpses and statistics",
        "own_map": "own maps",
        "average_map": "average maps",
    },
    "boed.estimators.bank_belief:BankBelief": {"_measure": "distances", "own_map": "own maps"},
}
"""Of a design."""

FIT_STAGES = {
    "boed.fitting.fit": {"codebook": "codebook", "calibrate": "calibration of q"},
    "boed.fitting.posterior_fit": {"train_posterior": "training of q", "_histories": "first designs"},
    "boed.fitting.parts": {"_estimated": "weights of own maps"},
    "boed.cli.fit": {"truth_of": "table"},
    "boed.approximations:Approximations": {"embedded": "bank"},
    "boed.search.designer:History": {"own_map": "own maps", "average_map": "average maps"},
    "boed.search.shrinkage:AverageMaps": {"without": "average maps"},
}
"""Of a fit. Maps belong to none of the stages that they are made for."""

REST = "the rest"


@contextmanager
def by_stage(clock: Stopwatch, stages: Stages) -> Iterator[None]:
    """Charges what runs within the block to its stages."""
    with ExitStack() as stack:
        for owner, names in stages.items():
            stack.enter_context(clock.patched(_named(owner), names))
        stack.enter_context(clock.stage(REST))
        yield


def _named(name: str) -> type | ModuleType | None:
    """The class or module of that name, or None."""
    try:
        named: type | ModuleType = pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return None
    return named
