"""What a program has to know to run an exported step, as JSON.

Shapes: C channels of a glimpse (scales counted in), G glimpse side, K classes, S width of the carried state.
"""

from __future__ import annotations

import math
from typing import Any

from data.errors import SettingsError
from data.geometry import Geometry
from data.version import SOFTWARE
from hardattn.exporting.registry import STOPPING
from hardattn.exporting.step import Step
from hardattn.exporting.traced import outputs_of
from hardattn.stopping.registry import RULES
from hardattn.stopping.stop import Stop
from hardattn.training.settings import NetworkSettings

CONVENTIONS = {
    "place": "(row, column, side) in pixels: the top-left corner of a square, and how wide it is; a square "
    "at (0, 0) as wide as the longer side of the image is the whole image",
    "glimpse": "the square of a place averaged down to side x side values of each channel, divided by "
    "divided_by; outside of the image they are 0; with scales the squares of the side, twice the side, .. "
    "around one centre, the finest first; the whole image is rounded to whole grey levels before the "
    "division; interpolated: bilinear between the centres of pixels at the centre of each value instead",
    "stop": "after a glimpse: fixed, as many glimpses as threshold; gain and accuracy-gain, the output of "
    "this name is below threshold; entropy, that of the probabilities in nats is; confidence, 1 less the "
    "largest probability is; halting, the outputs of this name sum to threshold",
}


def facts_of(
    step: Step,
    settings: NetworkSettings,
    stop: Stop,
    kind: str,
    version: tuple[str, int | str],
    batch: int | None,
) -> dict[str, Any]:
    """All of them.

    Args:
        step: that is exported.
        settings: of its run.
        stop: when to stop looking.
        kind, version: of the file format, see `hardattn.exporting.traced.Format`.
        batch: how many images go into a step; None: any number.
    """
    geometry = settings.geometry
    return {
        "software": SOFTWARE,
        "format": kind,
        version[0]: version[1],
        "batch": batch,
        "dataset": settings.dataset,
        "target": settings.target,
        "classes": list(settings.classes),
        "image": {"height": geometry.height, "width": geometry.width, "channels": geometry.channels},
        "glimpse": _glimpse(geometry),
        "glimpses": settings.glimpses,
        "stop": {"rule": stop.rule, "threshold": stop.threshold},
        "inputs": {"state": len(step.initial()), "glimpse": list(geometry.glimpse_shape()), "place": 3},
        "outputs": list(outputs_of(step)),
        "conventions": CONVENTIONS,
        "first_place": step.first_place().tolist(),
        "initial_state": step.initial().tolist(),
    }


def _glimpse(geometry: Geometry) -> dict[str, Any]:
    return {
        "side": geometry.glimpse_size,
        "scales": geometry.scales,
        "divided_by": 255,
        "interpolated": geometry.affine,
    }


def require_stopping(stop: Stop, step: Step, steps: int) -> None:
    """Raises SettingsError for a rule that the loop cannot follow, or no head says anything for."""
    if stop.rule not in STOPPING:
        raise SettingsError(
            f"expected a stopping rule of {', '.join(STOPPING)} for an exported step, found {stop.rule}, "
            "which goes by more than one step says; take another"
        )
    if not math.isfinite(stop.threshold):
        raise SettingsError(f"expected a finite threshold of {stop.rule}, found {stop.threshold}; change it")
    stop.require_within(steps)
    head = RULES[stop.rule].head
    if head and head not in step.heads:
        raise SettingsError(
            f"expected a network with a stopping head {head}, found {', '.join(step.heads) or 'none'}; take "
            "another rule, or train a network that has it"
        )
