"""A step as a graph of PyTorch's operators, which a file format writes down.

Shapes: B images.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from data.linear import plain_layers
from hardattn.exporting.step import Step

INPUTS = ("state", "glimpse", "place")
BATCH = "batch"
"""Name of a size that is left open."""
Run = Callable[[Sequence[Tensor]], list[Tensor]]
"""Inputs of a step -> its outputs."""


@dataclass(frozen=True)
class Traced:
    """The graph of a step.

    Attributes:
        program: of PyTorch's own operators alone.
        outputs: their names; the inputs are `INPUTS`.
        batch: B; None: it is left open.
    """

    program: ExportedProgram
    outputs: tuple[str, ...]
    batch: int | None


@dataclass(frozen=True)
class Format:
    """What `hardattn.exporting.registry.FORMATS` knows of a file format.

    Attributes:
        suffix: of its files.
        version: name and value of what says which programs can read it.
        written: the graph, and texts that go along with it by name -> the bytes of the file.
        opened: such bytes -> the step that they are, by the format's own runtime.
        needs: packages, which the extra with the name of the format installs.
    """

    suffix: str
    version: tuple[str, int | str]
    written: Callable[[Traced, Mapping[str, str]], bytes]
    opened: Callable[[bytes], Run]
    needs: tuple[str, ...] = ()


def outputs_of(step: Step) -> tuple[str, ...]:
    """Names of what a step gives; those of its stopping heads come last."""
    return ("next_state", "probabilities", "next_place", *step.heads)


def inputs_for(step: Step, count: int, glimpse: tuple[int, int, int], seed: int = 0) -> list[Tensor]:
    """Those of the first glimpse at B images of noise.

    Args:
        count: B.
        glimpse: (C, G, G).
        seed: of the noise.
    """
    noise = torch.rand(count, *glimpse, generator=torch.Generator().manual_seed(seed))
    start = (step.initial(), step.first_place())
    state, place = (one.expand(count, -1).contiguous() for one in start)
    return [state, noise, place]


@torch.no_grad()
def traced(step: Step, glimpse: tuple[int, int, int], batch: int | None = None) -> Traced:
    """The graph of a step, for any number of images or for B at a time.

    Args:
        step: on the CPU.
        glimpse: (C, G, G).
        batch: B; None: it is left open.

    >>> from data.grid import LocationGrid
    >>> from hardattn.model.network import HardAttention
    >>> grid = LocationGrid.evenly((64, 64), 16, 7)
    >>> step = Step(HardAttention(3, grid, classes=2).eval(), grid)
    >>> step.requires_grad_(False) is step, traced(step, (3, 16, 16)).outputs[:4]
    (True, ('next_state', 'probabilities', 'next_place', 'gain'))
    """
    free = None if batch else ({0: Dim(BATCH)},) * len(INPUTS)
    with quietly(), plain_layers():
        inputs = tuple(inputs_for(step, batch or 2, glimpse))  # of one image the size would be taken as fixed
        program = torch.export.export(step, inputs, dynamic_shapes=free)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # files of this machine
    return Traced(program, outputs_of(step), batch)


@contextmanager
def quietly() -> Iterator[None]:
    """Without what PyTorch's exporters warn of, themselves and packages that they could use as well."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
