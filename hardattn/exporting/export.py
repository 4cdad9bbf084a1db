"""Exports one step of a trained network, with all that is needed to run it elsewhere."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from data.errors import SettingsError
from data.files import write_atomically, write_json
from hardattn.exporting.facts import facts_of, require_stopping
from hardattn.exporting.registry import DEFAULT, FORMATS
from hardattn.exporting.step import Step
from hardattn.exporting.traced import Format, Run, inputs_for, traced
from hardattn.loading import TrainedNetwork
from hardattn.model.network import HardAttention
from hardattn.model.rollout import BLIND
from hardattn.objectives.registry import METHODS
from hardattn.stopping.stop import Fixed, Stop

FACTS = "facts"
"""Name, in the file, of what is beside it."""
TRIED = (1, 3)  # images, in a step that takes any number
CLOSE = 1e-3  # of a number, or of 1
IN_TRAINING = ("inference", "baseline_head", "auxiliary_head")
"""Parts of a network that nothing but a training asks."""


@dataclass(frozen=True)
class Exported:
    """What `export` wrote.

    Attributes:
        file: the step.
        about: what one needs to know to run it.
        facts: the same, as it is there.
        difference: the largest that was found between the step of the file and the network's.
    """

    file: Path
    about: Path
    facts: dict[str, Any]
    difference: float


def export(
    run: TrainedNetwork,
    file: Path,
    *,
    kind: str = DEFAULT,
    batch: int | None = None,
    stop: Stop | None = None,
) -> Exported:
    """Writes one step of a network, and a JSON file beside it; before that it is checked.

    The step, see `hardattn.exporting.step.Step`, has the classes' probabilities as outputs, the likeliest
    place to look at next, and what the stopping heads say. It gets its glimpses from whoever runs it.

    Args:
        run: the network.
        file: that is written; what is known of it goes to the file of this name with .json behind it.
        kind: a name of `hardattn.exporting.registry.FORMATS`.
        batch: how many images go into a step; None: any number.
        stop: when to stop looking, which is noted there; None: after T glimpses.

    Raises:
        SettingsError: the network is a baseline, does not choose its places or has no head for the rule; a
            package is missing; or the file's step is not the network's.
    """
    _require_suffix(file, kind)
    network, settings = run.glimpsing()
    form = _format(kind)
    if METHODS[settings.method].evaluation in BLIND:
        raise SettingsError(
            f"expected a network that chooses its places, found one of --method {settings.method}; train "
            "another"
        )
    stop, glimpse = stop or Fixed(settings.glimpses), settings.geometry.glimpse_shape()
    step = Step(_alone(network), settings.geometry.grid()).requires_grad_(False)
    require_stopping(stop, step, settings.glimpses)
    facts = facts_of(step, settings, stop, kind, form.version, batch)
    content = form.written(traced(step, glimpse, batch), {FACTS: json.dumps(facts)})
    opened = form.opened(content)
    sizes = (batch,) if batch else TRIED
    difference = max(_difference(step, opened, count, glimpse, settings.glimpses) for count in sizes)
    about = file.with_name(f"{file.name}.json")
    write_atomically(file, lambda beside: beside.write_bytes(content))
    write_json(about, facts)
    return Exported(file, about, facts, difference)


def _require_suffix(file: Path, kind: str) -> None:
    """Raises SettingsError for a file that is named as one of another format."""
    others = [name for name, one in FORMATS.items() if name != kind and one.suffix == file.suffix]
    if others and file.suffix != FORMATS.require(kind).suffix:
        raise SettingsError(
            f"expected a file {FORMATS[kind].suffix} of --format {kind}, found {file}; name another, or take "
            f"--format {others[0]}"
        )


def _format(kind: str) -> Format:
    """The file format of this name; raises SettingsError where a package that it needs is missing."""
    form: Format = FORMATS.require(kind)
    for package in form.needs:
        try:
            import_module(package)
        except ImportError as error:
            raise SettingsError(
                f"expected {package} for --format {kind}, found: {error}; pip install 'boed-hardattn[{kind}]'"
            ) from error
    return form


def _alone(network: HardAttention) -> HardAttention:
    """A copy on the CPU, in evaluation mode, without what only a training asks."""
    alone = deepcopy(network).cpu().eval()
    for name in IN_TRAINING:
        setattr(alone, name, None)
    return alone


@torch.no_grad()
def _difference(step: Step, opened: Run, count: int, glimpse: tuple[int, int, int], steps: int) -> float:
    """The largest, relative to a number or to 1, in T steps at images of noise.

    Raises:
        SettingsError: it is more than rounding.
    """
    largest, inputs = 0.0, inputs_for(step, count, glimpse)
    for number in range(1, steps + 1):
        wanted, found = step(*inputs), opened(inputs)
        for one, other in zip(wanted, found, strict=True):
            apart = (one - other).abs() / one.abs().clamp(min=1)
            largest = max(largest, float(apart.nan_to_num(torch.inf).amax()))
        _, noise, _ = inputs_for(step, count, glimpse, seed=number)
        inputs = [wanted[0], noise, wanted[2]]
    if largest > CLOSE:
        raise SettingsError(
            f"expected the exported step to say what the network says, found a difference of {largest:.2g}; "
            "take another --format, and tell the authors"
        )
    return largest
